"""Which entity belongs to a caller's reference: each is created once."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..arguments import FOREVER, NO_TIME, duration_ms, on_crash_flag
from ..errors import NotKeptError
from ..joining import joined_key
from ..once import replay
from ..record import State
from .errors import DuplicateReferenceError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from ..arguments import ClaimOptions, OnCrash
    from ..claim import Claim
    from ..record import Record
    from ..store import Store
    from .rules import Rules

_log = logging.getLogger(__name__)

_NAMESPACE = "reference"
_CREATED = 201
_FOUND = 200


class Reference(NamedTuple):
    """The entity that a reference belongs to, and whether this call has created it."""

    id: str
    created: bool

    @property
    def status(self) -> int:
        """The HTTP status of a creation: 201, or 200 if the entity was there."""
        return _CREATED if self.created else _FOUND


@dataclass(frozen=True)
class Attempt:
    """What the function that creates an entity is told."""

    number: int
    """1, or more if an earlier attempt's fate is unknown: look first whether it has created it."""
    intent: bytes
    """The bytes that the first attempt gave as its intent."""


class References:
    """The references of one kind of entity, each of which belongs to one entity for good.

    Args:
        store: the store that all processes share.
        namespace: the kind of entity, for instance ``"payout"``; a reference may be used once in
            each.
        rules: how references look: `NEXTAPI_V2`, `NEXTAPI_V1`, `NOTICIA`, or your `Rules`.
        wait: seconds to wait at most for another who is creating the same.
        on_crash: ``"reclaim"``: the next caller creates it if the process that was creating it
            died; ``"hold"``: a HeldError until somebody calls `Store.resolve` with `key`.
        crash_grace: seconds after that death until that.

    All calls take ``scope``, the account whose reference it is; None is one space for all. They
    raise InvalidReferenceError for a reference that breaks the rules.

    What is kept is the entity's id. It stays until `forget`, so call that when the entity is
    deleted.

    >>> from idemkey.references import NOTICIA, References
    >>> events = References(store, namespace="sales_event", rules=NOTICIA)
    >>> create = lambda attempt: "se_1"
    >>> [events.create_or_get("ticket-1", create, scope="acme").status for _ in range(2)]
    [201, 200]
    """

    def __init__(
        self,
        store: Store,
        *,
        namespace: str,
        rules: Rules,
        wait: float = NO_TIME,
        on_crash: OnCrash = "reclaim",
        crash_grace: float = NO_TIME,
    ) -> None:
        self.rules = rules
        self._store = store
        self._namespace = _name("namespace", namespace)
        duration_ms("wait", wait)
        duration_ms("crash_grace", crash_grace)
        on_crash_flag(on_crash)
        self._options: ClaimOptions = {
            "ttl": FOREVER,
            "wait": wait,
            "on_crash": on_crash,
            "crash_grace": crash_grace,
        }

    def create_or_get(
        self,
        reference_id: str,
        create: Callable[[Attempt], str],
        *,
        scope: str | None,
        intent: bytes = b"",
    ) -> Reference:
        """The reference's entity; ``create`` makes it if there is none.

        Args:
            reference_id: the caller's id.
            create: is told the `Attempt`, and returns the entity's id. If it raises an Exception
                the reference stays free.
            scope: the account.
            intent: kept while ``create`` runs, and given to the next attempt if its process dies;
                with the id that the entity will get, a second creation can be made to fail.

        Raises:
            BusyError: another is creating it, and ``wait`` is over.
            HeldError: it waits for `Store.resolve`.
            NotKeptError: it was created when the store was too full to keep its id.
            FullError and others of `Store.claim`: nothing was created.
        """
        key = self.key(reference_id, scope=scope)
        with self._store.claim(key, **self._claiming(intent)) as claim:
            if claim.won:
                return _created(claim, create(_attempt(claim, intent)))
        return _existing(claim)

    def create_or_error(
        self,
        reference_id: str,
        create: Callable[[Attempt], str],
        *,
        scope: str | None,
        intent: bytes = b"",
    ) -> str:
        """The id of the entity that ``create`` makes; the arguments are `create_or_get`'s.

        Raises:
            DuplicateReferenceError: the reference belongs to an entity already.
            BusyError, HeldError: as `create_or_get`.
        """
        made = self.create_or_get(reference_id, create, scope=scope, intent=intent)
        return _only_created(reference_id, made)

    def upsert(
        self,
        reference_id: str,
        create: Callable[[Attempt], str],
        update: Callable[[str], object],
        *,
        scope: str | None,
        intent: bytes = b"",
    ) -> Reference:
        """The entity that ``create`` makes, or the one that is there after ``update(its id)``.

        Updates of one entity may run at the same time: the last to write wins, as in a database.
        The other arguments, and what is raised, are `create_or_get`'s.

        >>> from idemkey.references import NOTICIA, References
        >>> profiles = References(store, namespace="profile", rules=NOTICIA)
        >>> names = {}
        >>> def push(name):
        ...     return profiles.upsert(
        ...         "crm-1",
        ...         lambda attempt: names.update(p_1=name) or "p_1",
        ...         lambda profile: names.update({profile: name}),
        ...         scope="acme",
        ...     )
        >>> push("Camille").created, push("Camilla").created, names
        (True, False, {'p_1': 'Camilla'})
        """
        made = self.create_or_get(reference_id, create, scope=scope, intent=intent)
        if not made.created:
            update(made.id)
        return made

    async def acreate_or_get(
        self,
        reference_id: str,
        create: Callable[[Attempt], Awaitable[str]],
        *,
        scope: str | None,
        intent: bytes = b"",
    ) -> Reference:
        """`create_or_get` for event loops, with an async ``create``."""
        key = self.key(reference_id, scope=scope)
        with await self._store.aclaim(key, **self._claiming(intent)) as claim:
            if claim.won:
                return _created(claim, await create(_attempt(claim, intent)))
        return _existing(claim)

    async def acreate_or_error(
        self,
        reference_id: str,
        create: Callable[[Attempt], Awaitable[str]],
        *,
        scope: str | None,
        intent: bytes = b"",
    ) -> str:
        """`create_or_error` for event loops, with an async ``create``."""
        made = await self.acreate_or_get(reference_id, create, scope=scope, intent=intent)
        return _only_created(reference_id, made)

    async def aupsert(
        self,
        reference_id: str,
        create: Callable[[Attempt], Awaitable[str]],
        update: Callable[[str], Awaitable[object]],
        *,
        scope: str | None,
        intent: bytes = b"",
    ) -> Reference:
        """`upsert` for event loops, with async functions."""
        made = await self.acreate_or_get(reference_id, create, scope=scope, intent=intent)
        if not made.created:
            await update(made.id)
        return made

    def get(self, reference_id: str, *, scope: str | None) -> str | None:
        """The id of the reference's entity; None if there is none, or it is being created."""
        return _id(self._store.lookup(self.key(reference_id, scope=scope)))

    def get_many(self, reference_ids: Iterable[str], *, scope: str | None) -> dict[str, str]:
        """The ids of those references' entities that there are, in the order of the references.

        >>> from idemkey.references import NEXTAPI_V1, References
        >>> wallets = References(store, namespace="wallet", rules=NEXTAPI_V1)
        >>> wallets.create_or_error("W-1", lambda attempt: "wallet_1", scope="acc_1")
        'wallet_1'
        >>> query = "reference_id[]=W-1&reference_id[]=W-2"
        >>> wallets.get_many(NEXTAPI_V1.reference_ids(query), scope="acc_1")
        {'W-1': 'wallet_1'}
        """
        if isinstance(reference_ids, str):
            raise TypeError("reference_ids must be an iterable of references, not one str")
        names = list(reference_ids)
        records = self._store.lookup_many([self.key(name, scope=scope) for name in names])
        found = {name: _id(record) for name, record in zip(names, records)}
        return {name: entity for name, entity in found.items() if entity is not None}

    def forget(self, reference_id: str, *, scope: str | None) -> bool:
        """Frees the reference of a deleted entity; whether there was one.

        Raises:
            BusyError: it is being created.
        """
        return self._store.forget(self.key(reference_id, scope=scope))

    def key(self, reference_id: str, *, scope: str | None) -> bytes:
        """The store's key of a reference, for `Store.resolve` and the like."""
        name = self.rules.check(reference_id)
        if scope is None:
            return joined_key(_NAMESPACE, self._namespace, name)
        return joined_key(_NAMESPACE, self._namespace, _name("scope", scope), name)

    def _claiming(self, intent: bytes) -> ClaimOptions:
        return {**self._options, "intent": intent}


def _name(argument: str, value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be a str, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{argument} is empty")
    return value


def _attempt(claim: Claim, intent: bytes) -> Attempt:
    return Attempt(claim.attempt, claim.intent if claim.attempt > 1 else intent)


def _created(claim: Claim, entity_id: str) -> Reference:
    """Completes the claim: the entity is there, whatever ``create`` has returned."""
    if not isinstance(entity_id, str) or not entity_id or not entity_id.isprintable():
        claim.abandon()
        raise TypeError(f"create must return the entity's id, printable text, not {entity_id!r}")
    claim.complete(entity_id.encode())
    if not claim.kept:
        _log.error("the store is too full to keep %s, the entity of key %r", entity_id, claim.key)
    return Reference(entity_id, created=True)


def _existing(claim: Claim) -> Reference:
    return Reference(replay(claim).decode(), created=False)


def _only_created(reference_id: str, made: Reference) -> str:
    if not made.created:
        raise DuplicateReferenceError(reference_id, made.id)
    return made.id


def _id(record: Record | None) -> str | None:
    if record is None or record.state is not State.DONE:
        return None
    if record.value is None:
        raise NotKeptError(
            f"{record.key!r} is done, but the store was too full to keep its entity's id"
        )
    return record.value.decode()
