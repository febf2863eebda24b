"""A claim: the store's answer, and the right and duty that may come with it."""

from __future__ import annotations

import enum
import warnings
from typing import TYPE_CHECKING, Any

from .arguments import Bytes, as_bytes, duration_ms, ttl_ms
from .errors import Error, error
from .low_level import OWNED, lib
from .record import Record

if TYPE_CHECKING:
    from types import TracebackType

    from .handle import Handle


class Outcome(enum.Enum):
    """What the store says to a claimer."""

    CLAIMED = lib.IDEM_CLAIMED
    """Run it."""
    RECLAIMED = lib.IDEM_RECLAIMED
    """Run it; an earlier attempt's fate is unknown, so look first what it has done."""
    BUSY = lib.IDEM_BUSY
    """Don't: it is being run."""
    DONE = lib.IDEM_DONE
    """Don't: it has been run, and here is its value."""
    MISMATCH = lib.IDEM_MISMATCH
    """Don't: the key belongs to another request."""
    HELD = lib.IDEM_HELD
    """Don't: its owner died or left, and a person must resolve it."""


#: Replies of claims that are gone, for the next ones: making one costs as much as a claim in C.
#: Bounded, as a burst of claims should not be kept for ever.
spare_replies: list[Any] = []
_SPARE_REPLIES_MAX = 64

# What may happen to a claim without its owner's word.
_NOTHING = 0
_RELEASE = 1
_ABANDON = 2  # complete() was called, so the operation has happened

# Names of this module are found faster than attributes of another.
_complete = lib.idem__py_complete
_new = object.__new__

# Of each outcome, by C's number (0 is none): itself, whether it is won, and what may happen to it.
_ANSWERS: list[Any] = [None] + [
    (outcome, True, _RELEASE)
    if outcome in (Outcome.CLAIMED, Outcome.RECLAIMED)
    else (outcome, False, _NOTHING)
    for outcome in sorted(Outcome, key=lambda outcome: outcome.value)
]


class Claim(Record):
    """What `Store.claim` returns: the outcome, what is known of the key, and how to end the claim.

    What is known is as of the claim; ending it does not change it, except for `kept`.

    If `won` is true the caller must run the operation and end the claim by `complete`, `release`
    or `abandon`, from any thread of this process. As a context manager it ends itself: an
    Exception releases the key (from the second attempt on it abandons it); any other
    BaseException, leaving without an end, and garbage collection abandon it with a
    ResourceWarning. Once `complete` has been called and failed, the operation has happened: the
    claim is then abandoned, never released. After a fork the parent's claims do nothing in the
    child.

    >>> with store.claim("order:1") as claim:
    ...     if claim.won:
    ...         claim.complete(b"paid")
    >>> store.claim("order:1").value
    b'paid'
    """

    __slots__ = ("_open", "_store", "outcome", "won")

    outcome: Outcome
    """What the store said."""
    won: bool
    """Whether to run the operation: CLAIMED or RECLAIMED."""
    _store: Handle
    _open: int

    def complete(
        self, value: Bytes = b"", ttl: float | None = None, *, allow_not_kept: bool = False
    ) -> None:
        """Ends the claim: the operation has been run, and later claimers get ``value``.

        Args:
            value: bytes to replay.
            ttl: seconds from now to keep them, or `FOREVER`; None: the ttl given to the claim.
            allow_not_kept: complete even if the value is above the store's largest, without it.

        A store too full to keep the value completes without it: then `kept` is false.

        Raises:
            LostClaimError: it was taken over, or has ended; nothing was changed.
            TooBigError: the value is too big; nothing was changed.
        """
        self._open = _ABANDON
        if type(value) is not bytes:
            value = as_bytes("value", value)
        status = _complete(
            self._reply,
            value,
            len(value),
            0 if ttl is None else ttl_ms(ttl),
            lib.IDEM_ALLOW_NOT_KEPT if allow_not_kept else 0,
        )
        if status:
            raise error(status)
        self._open = _NOTHING

    def release(self) -> None:
        """Gives the key back: the operation did not happen.

        The next claimer gets CLAIMED; from the second attempt on, RECLAIMED or HELD, as the
        earlier attempt's fate stays unknown.

        Raises:
            LostClaimError: it was taken over, or has ended; nothing was changed.
        """
        self._end(lib.idem__py_release(self._reply))

    def abandon(self) -> None:
        """Leaves without a verdict, as if this process had died: the next gets RECLAIMED or HELD.

        Raises:
            LostClaimError: it was taken over, or has ended; nothing was changed.
        """
        self._end(lib.idem__py_abandon(self._reply))

    def renew(self, lease: float | None) -> None:
        """Sets the lease to end ``lease`` seconds from now; None: no lease.

        Raises:
            LostClaimError: it was taken over, or has ended; nothing was changed.
        """
        lease_ms = 0 if lease is None else duration_ms("lease", lease)
        status = lib.idem__py_renew(self._reply, lease_ms)
        if status:
            raise error(status)

    def _end(self, status: int) -> None:
        if status:
            raise error(status)
        self._open = _NOTHING

    def _drop(self) -> bool:
        """Abandons what is open; whether there was something, which in a forked child is not."""
        self._open = _NOTHING
        return bool(lib.idem__py_abandon(self._reply) == lib.IDEM_OK)

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._open:
            return
        if isinstance(exception, Exception):
            if self._open == _RELEASE:
                self._open = _NOTHING
                lib.idem__py_release(self._reply)  # which orphans it from the second attempt on
            else:
                self._drop()
        elif self._drop():
            try:
                self._warn()
            except ResourceWarning:
                if exception is None:  # else the exception on its way tells more
                    raise

    def __del__(self) -> None:
        if self._open and self._drop():
            self._warn()
        elif len(spare_replies) < _SPARE_REPLIES_MAX:
            spare_replies.append(self._reply)

    def _warn(self) -> None:
        warnings.warn(
            f"claim of {self.key!r} was abandoned: end it by complete, release or abandon",
            ResourceWarning,
            stacklevel=3,
            source=self,
        )

    def __repr__(self) -> str:
        return f"<Claim {self.key!r} {self.outcome.name}>"


def make_claim(store: Handle, key: bytes, reply: Any, result: int) -> Claim:
    """A claim of the reply; ``result`` as the glue returned it, and not an error."""
    claim = _new(Claim)
    claim._store = store  # keeps the store open
    claim.key = key
    claim._reply = reply
    claim._copied = None
    if result & OWNED:
        result &= ~OWNED
        claim._keep()
    claim.outcome, claim.won, claim._open = _ANSWERS[result]
    return claim


def undo(claims: list[Claim]) -> None:
    """Gives back what a batch has won before it failed."""
    for claim in claims:
        if claim.won:
            try:
                claim.release()
            except Error:
                claim._drop()
