"""How a caller is set up: what `Caller` and `AsyncCaller` have in common."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar
from uuid import uuid4

from idemkey import DEFAULT_TTL, FOREVER, NotFoundError, State, fingerprint

from .engine import settle
from .intents import Done, Verdict, make_intent, stored_intent
from .messages import Request, check_header, check_where, make_request, text_arg
from .policy import Retry, seconds_arg
from .task import Rules, Task

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator

    from idemkey import Record, Store
    from idemkey.arguments import Bytes

    from .intents import Intent, Reconciled
    from .messages import Answer, ReturnedId
    from .transport import ClientFacts

C = TypeVar("C")
T = TypeVar("T", bound="ClientFacts")

_API = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEY = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")  # 255: what the public APIs with such keys accept
#: A request whose reply was lost may still be running at the server; with a server that absorbs
#: repetitions that does not matter.
SETTLING_S = 60.0


class RequestOptions(TypedDict, total=False):
    """The keyword arguments of `Caller.request`, which describes them."""

    json: object
    content: Bytes | str
    headers: Mapping[str, str]
    key: str
    context: Mapping[str, Any]
    returned_id: ReturnedId
    keep_body: bool
    wait: float


@dataclass(frozen=True)
class Recovered:
    """What `recover` made of one unfinished operation."""

    key: str
    answer: Answer | None = None
    """Its answer; None: see ``error``."""
    error: Exception | None = None
    """Why it is still unfinished."""


class Settings(Generic[C, T]):
    """A caller's arguments, checked, and all that needs no waiting.

    ``C`` is what a user gives as the client, ``T`` the transport that is made of it.
    """

    def __init__(
        self,
        store: Store,
        client: C,
        *,
        api: str,
        server_idempotent: bool = True,
        header: str = "Idempotency-Key",
        quoted: bool = False,
        reconcile: Callable[[Intent], Reconciled | Awaitable[Reconciled]] | None = None,
        returned_id: ReturnedId | None = None,
        retry: Retry | None = None,
        timeout: float = 30.0,
        ttl: float = DEFAULT_TTL,
        server_retention: float = DEFAULT_TTL,
        crash_grace: float | None = None,
        secret_headers: Collection[str] = (),
        sleep: Callable[[float], Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not _API.fullmatch(text_arg("api", api)):
            raise ValueError(
                f"api is {api!r} and must be 1 to 64 letters, digits, '.', '_' or '-': the name of "
                f"the server's API, which keeps its keys apart from those of others"
            )
        if isinstance(secret_headers, str):
            raise TypeError(f"secret_headers is the string {secret_headers!r}: pass a tuple")
        check_header(header, "")
        retry = retry or Retry()
        seconds_arg("timeout", timeout, allow_zero=False)
        if crash_grace is None:
            crash_grace = 0.0 if server_idempotent else SETTLING_S
        seconds_arg("crash_grace", crash_grace, allow_zero=True)
        if server_retention != FOREVER:
            seconds_arg("server_retention", server_retention, allow_zero=False)
        if server_idempotent and not server_retention > retry.deadline:
            raise ValueError(
                f"server_retention is {server_retention} seconds and must be above the deadline of "
                f"retry, {retry.deadline}: a key that the server has forgotten protects nothing"
            )
        if reconcile is not None and not callable(reconcile):
            raise TypeError(
                f"reconcile must be a function of an Intent, not {type(reconcile).__name__}"
            )
        self._prefix = f"client:{api}:".encode()
        _check_ttl(store, self._prefix, ttl)
        self._server_idempotent = server_idempotent
        self._header = header
        self._quoted = quoted
        self._reconcile = reconcile
        self._returned_id = check_where(returned_id)
        self._sleep = sleep
        self._transport = self._adapt(client)
        self._rules = Rules(
            store=store,
            client=self._transport,
            reconciles=reconcile is not None,
            retry=retry,
            timeout=timeout,
            ttl=ttl,
            server_retention=server_retention,
            crash_grace=crash_grace,
            secret_headers=frozenset(name.lower() for name in secret_headers),
            clock=clock,
        )

    def _adapt(self, client: C) -> T:
        raise NotImplementedError

    def store_key(self, key: str) -> bytes:
        """The store's key of an operation, for the store's own calls.

        ``store.forget(caller.store_key(key))`` lets a key be used afresh.
        """
        if not _KEY.fullmatch(text_arg("key", key)):
            raise ValueError(
                f"key is {key!r} and must be 1 to 255 printable ASCII characters without spaces "
                f"at its ends, as it is sent as a header"
            )
        return self._prefix + key.encode()

    def unfinished(self) -> list[Intent]:
        """The intents of operations whose caller died or gave up.

        Raises:
            VersionError, CorruptError: an intent cannot be read.
        """
        return [stored_intent(key, record) for key, record in self._orphans()]

    def resolve(self, key: str, verdict: Reconciled) -> None:
        """Ends an unfinished operation by hand.

        Args:
            key: its key.
            verdict: `Done`: this is its answer; `Verdict.NOT_DONE`: it has not happened, so that
                the key is free again.

        Raises:
            NotFoundError: there is no unfinished operation with this key.
            BusyError: a living process is sending it.
        """
        name = self.store_key(key)
        if isinstance(verdict, Done):
            settle(self._rules, name, key, verdict)
        elif verdict is Verdict.NOT_DONE:
            self._rules.store.resolve(name, None)
        else:
            raise ValueError(f"verdict is {verdict!r} and must be Done(...) or Verdict.NOT_DONE")

    def _task(
        self,
        method: str,
        url: str,
        *,
        json: object = None,
        content: Bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        context: Mapping[str, Any] | None = None,
        returned_id: ReturnedId | None = None,
        keep_body: bool = True,
        wait: float = 0.0,
    ) -> Task:
        """One call's arguments, checked before anything is claimed or sent."""
        key = str(uuid4()) if key is None else key
        name = self.store_key(key)
        request = make_request(method, url, headers, json, content)
        if request.header(self._header) is not None:
            raise ValueError(f"headers has {self._header}: give the key as key=... instead")
        intent = make_intent(
            key,
            request,
            context=context,
            keep_body=keep_body,
            server_idempotent=self._server_idempotent,
            secret_headers=self._rules.secret_headers,
        )
        task = Task(
            name=name,
            fingerprint=fingerprint(intent.method, intent.url, request.body),
            intent=intent,
            request=self._keyed(request, intent),
            returned_id=check_where(returned_id) or self._returned_id,
            wait=wait,
        )
        self._transport.check(task.request)
        return task

    def _orphans(self) -> Iterator[tuple[str, Record]]:
        """The keys of this API that nobody is working on, and what is known of them."""
        for record in self._rules.store.scan():
            if record.state is State.ORPHANED and record.key.startswith(self._prefix):
                yield record.key[len(self._prefix) :].decode(), record

    def _recovery(self, key: str) -> Task | None:
        """The task that a dead caller has left; None: somebody else has it."""
        record = self._rules.store.lookup(self.store_key(key))
        if record is None or record.state is not State.ORPHANED:
            return None
        intent = stored_intent(key, record)
        request = Request(intent.method, intent.url, intent.headers, intent.body or b"")
        return Task(
            name=record.key,
            fingerprint=record.fingerprint,
            intent=intent,
            request=self._keyed(request, intent),
            returned_id=self._returned_id,
            recovering=True,
        )

    def _keyed(self, request: Request, intent: Intent) -> Request:
        """The request with the key's header, for a server that knows keys."""
        if not intent.server_idempotent:
            return request
        key = intent.key
        if self._quoted:
            key = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return replace(request, headers=(*request.headers, (self._header, key)))


def _check_ttl(store: Store, nobodys_key: bytes, ttl: float) -> None:
    """Raises now what the store would raise when the operation has already happened."""
    with contextlib.suppress(NotFoundError):
        store.touch(nobodys_key, ttl)
