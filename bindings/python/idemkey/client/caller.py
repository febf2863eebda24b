"""Making each call once: `Caller` and, for event loops, `AsyncCaller`."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any, cast

from .engine import Ask, Step, Take, operate
from .sending import Send
from .settings import Recovered, Settings
from .transport import AsyncTransport, Transport, async_transport, sync_transport

if TYPE_CHECKING:
    from collections.abc import Generator

    from typing_extensions import Unpack

    from .messages import Answer
    from .settings import RequestOptions
    from .task import Task
    from .transport import AsyncClient, SyncClient


class Caller(Settings["SyncClient", Transport]):
    """Calls an HTTP API such that each operation happens once, whatever dies.

    The key and the intent are in the store before the first byte is sent. Lost connections,
    time-outs, 5xx and 429 are tried again with the same key; other 4xx are not. A call with the
    key of an operation that has been done returns the answer of then. After a crash the next call
    with the key, or `recover`, first asks ``reconcile`` what has become of it.

    Args:
        store: shared by all processes that use the same keys, and by those that recover.
        client: an `httpx.Client`, a `requests.Session` or a `Transport`; its own headers and
            authentication are added to each request, and never stored. Redirects are not
            followed.
        api: the server's API by a name of yours: keys are told apart by it.
        server_idempotent: whether the server absorbs repetitions of a key. If not, no key is
            sent, and a lost reply or a 5xx ends in `UnknownOutcomeError`.
        header: the name of the key's header.
        quoted: send the key as a quoted string, as draft-ietf-httpapi-idempotency-key-header asks.
        reconcile: told an `Intent` whose caller died or gave up, says what became of it: `Done`,
            `Verdict.NOT_DONE` (send it again, with its key) or `Verdict.UNKNOWN`. None: with an
            idempotent server it is sent again, with another one the outcome stays unknown.
        returned_id: where a successful answer has the id of what was made: a path of names in its
            JSON (``"data.id"``), or a function of the `Answer`.
        retry: how often, how long, and with what pauses; see `Retry`.
        timeout: seconds that one request may take at most, as the client counts them.
        ttl: seconds that the store keeps an answer, or `idemkey.FOREVER`: so long the key is not
            sent again. Unfinished operations are kept for ever.
        server_retention: seconds that the server remembers a key. An older unfinished operation
            is not sent again unless ``reconcile`` says that it has not happened.
        crash_grace: seconds after a crash or a lost reply in which the key stays busy, as the
            server may still be at work: what is not to be found yet could still appear. None: 0
            with an idempotent server, else 60.
        secret_headers: names of headers and query parameters that are secrets, beside those that
            look like it (``Authorization``, ``Cookie``, ``X-Api-Key``, ...).
        sleep, clock: for tests and other event loops.

    One object serves all threads, if its client does, and the processes forked from this one.

    >>> import httpx
    >>> def server(request):
    ...     return httpx.Response(201, json={"id": "payout_1"})
    >>> http = httpx.Client(transport=httpx.MockTransport(server))
    >>> caller = Caller(store, http, api="payouts", returned_id="id")
    >>> url = "https://api.example/payouts"
    >>> first = caller.request("POST", url, json={"amount": 100}, key="order-7")
    >>> first.status, first.returned_id, first.replayed
    (201, 'payout_1', False)
    >>> caller.request("POST", url, json={"amount": 100}, key="order-7").replayed
    True
    """

    def _adapt(self, client: SyncClient) -> Transport:
        return sync_transport(client)

    def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Answer:
        """Makes the call, or returns the answer of an earlier one with the same key.

        Args:
            method, url: of the request; the URL is absolute.
            json: the body as data, written with sorted names.
            content: the body as bytes or text, instead.
            headers: beside those of the client.
            key: 1 to 255 printable ASCII characters; left out: a new UUID.
            context: for ``reconcile``, stored with the intent: what JSON can hold.
            returned_id: that of the caller, for this call.
            keep_body: whether the intent has the body. Without it `recover` cannot send it again.
            wait: seconds to wait at most while another process makes the same call.

        Raises:
            UnknownOutcomeError: it may have happened or not, and was not sent (again).
            RetriesExhaustedError: the server did not answer, or with 5xx and 429 only.
            BusyError: another process is at it, or was until less than ``crash_grace`` ago.
            MismatchError: the key belongs to another method, URL or body.
            NotKeptError: it has been done, but the store had no room for the answer.
            HeldError: it failed 127 times without a verdict: see `resolve`.
            FullError and others of `Store.claim`: nothing was sent.
            ValueError, TypeError: an argument is wrong; nothing was sent.
        """
        return cast("Answer", self._run(self._task(method, url, **options)))

    def recover(self) -> list[Recovered]:
        """Brings operations to their end whose caller died or gave up.

        Those that cannot be ended now are told with the exception, and left as they are.
        """
        done = []
        for key in [key for key, _ in self._orphans()]:
            try:
                task = self._recovery(key)
                answer = self._run(task) if task else None
            except Exception as error:
                done.append(Recovered(key, error=error))
            else:
                if answer is not None:
                    done.append(Recovered(key, answer))
        return done

    def _run(self, task: Task) -> Answer | None:
        steps = operate(self._rules, task)
        try:
            step = next(steps)
            while True:
                try:
                    result = self._do(step)
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            return cast("Answer | None", end.value)

    def _do(self, step: Step) -> Any:
        if isinstance(step, Send):
            return self._transport.send(step.request, step.timeout)
        if isinstance(step, Take):
            return self._rules.store.claim(step.name, **step.options)
        if isinstance(step, Ask):
            return cast("Any", self._reconcile)(step.intent)
        return (self._sleep or time.sleep)(step.seconds)


class AsyncCaller(Settings["AsyncClient", AsyncTransport]):
    """`Caller` for event loops: ``client`` is an `httpx.AsyncClient` or an `AsyncTransport`.

    ``reconcile`` and ``sleep`` may be coroutine functions. A cancelled call leaves an unfinished
    operation, as a crash does.
    """

    def _adapt(self, client: AsyncClient) -> AsyncTransport:
        return async_transport(client)

    async def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Answer:
        """`Caller.request`."""
        return cast("Answer", await self._run(self._task(method, url, **options)))

    async def recover(self) -> list[Recovered]:
        """`Caller.recover`."""
        done = []
        for key in [key for key, _ in self._orphans()]:
            try:
                task = self._recovery(key)
                answer = await self._run(task) if task else None
            except Exception as error:
                done.append(Recovered(key, error=error))
            else:
                if answer is not None:
                    done.append(Recovered(key, answer))
        return done

    async def _run(self, task: Task) -> Answer | None:
        steps: Generator[Step, Any, Answer | None] = operate(self._rules, task)
        try:
            step = next(steps)
            while True:
                try:
                    result = await self._do(step)
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            return cast("Answer | None", end.value)

    async def _do(self, step: Step) -> Any:
        if isinstance(step, Send):
            return await self._transport.send(step.request, step.timeout)
        if isinstance(step, Take):
            return await self._rules.store.aclaim(step.name, **step.options)
        if isinstance(step, Ask):
            result = cast("Any", self._reconcile)(step.intent)
        else:
            result = (self._sleep or asyncio.sleep)(step.seconds)
        return await result if inspect.isawaitable(result) else result
