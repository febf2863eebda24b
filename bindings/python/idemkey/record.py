"""What the store knows of a key."""

from __future__ import annotations

import enum
from typing import Any

from .arguments import seconds_or_forever, seconds_or_none
from .low_level import ffi, lib

_MS_PER_SECOND = 1000
_unpack = ffi.unpack


class State(enum.Enum):
    """How far a key's operation has come."""

    PENDING = lib.IDEM_STATE_PENDING
    """A living process runs it."""
    ORPHANED = lib.IDEM_STATE_ORPHANED
    """Its owner died, or left without a verdict."""
    DONE = lib.IDEM_STATE_DONE
    """It has been run."""


class Record:
    """One key as it was at the moment of the call; times are seconds.

    Made by `Store.lookup`, `Store.wait` and `Store.scan`; a `Claim` has the same properties. It
    is a copy: it stays valid when the key changes or the store is closed.
    """

    __slots__ = ("__weakref__", "_copied", "_reply", "key")

    key: bytes
    """The key; text as UTF-8."""
    _reply: Any
    _copied: tuple[bytes | None, bytes] | None  # value and intent that the reply has no space for

    def __new__(cls) -> Record:  # noqa: D102
        raise TypeError(f"a {cls.__name__} is made by the calls of a Store")

    def __reduce__(self) -> Any:
        raise TypeError(f"a {type(self).__name__} does not pickle: send the key instead")

    def _keep(self) -> None:
        """Copies what does not fit the reply's own space, and returns that memory to C."""
        self._copied = None  # so that the properties read the reply
        self._copied = self.value, self.intent
        lib.idem__py_free(self._reply)

    @property
    def id(self) -> str:
        """The record's public id, unique in the store: 16 hexadecimal digits."""
        return f"{self._reply.claim.record.id:016x}"

    @property
    def state(self) -> State:
        """Pending, orphaned or done."""
        return State(self._reply.claim.record.state)

    @property
    def attempt(self) -> int:
        """1 for the key's first claim, one more at every takeover; 0 for a done key."""
        return int(self._reply.claim.record.attempt)

    @property
    def held(self) -> bool:
        """Whether it is orphaned and waits for `Store.resolve`."""
        return bool(self._reply.claim.record.held)

    @property
    def kept(self) -> bool:
        """Whether it is done and its value is there."""
        return bool(self._reply.claim.record.kept)

    @property
    def value(self) -> bytes | None:
        """The value of a done key; None if it is not done, or the value was not kept.

        A claim that is a MISMATCH has none: the value is another request's.
        """
        if self._copied is not None:
            return self._copied[0]
        reply = self._reply
        length: int = reply.value_len
        if length > 0:
            value: bytes = _unpack(reply.value, length)
            return value
        return None if length < 0 else b""

    @property
    def intent(self) -> bytes:
        """What the key's first claim said it was going to do.

        A `Record` has it while the key is pending or orphaned, a `Claim` if it is RECLAIMED or
        HELD; else it is empty.
        """
        if self._copied is not None:
            return self._copied[1]
        record = self._reply.claim.record
        return bytes(ffi.buffer(record.intent, record.intent_len))

    @property
    def fingerprint(self) -> bytes | None:
        """The fingerprint that the key was first claimed with, or None.

        Not told to the claimer who has just given it.
        """
        record = self._reply.claim.record
        return bytes(record.fingerprint) if record.has_fingerprint else None

    @property
    def age(self) -> float:
        """Seconds since the key's first claim."""
        return float(self._reply.claim.record.age_ms / _MS_PER_SECOND)

    @property
    def lease_left(self) -> float | None:
        """Seconds until the lease of a pending key ends; None without one."""
        return seconds_or_none(self._reply.claim.record.lease_left_ms)

    @property
    def done_age(self) -> float | None:
        """Seconds since the completion of a done key whose value was kept, else None."""
        return seconds_or_none(self._reply.claim.record.done_age_ms)

    @property
    def expires_in(self) -> float:
        """Seconds of retention left, or `FOREVER`; for a pending key those of its claim's ttl."""
        return seconds_or_forever(self._reply.claim.record.expires_in_ms)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.key!r} {self.state.name}>"


def make_record(key: bytes, reply: Any, owned: int) -> Record:
    """A record of the reply; ``owned`` as the glue returned it."""
    record = object.__new__(Record)
    record.key = key
    record._reply = reply
    if owned:
        record._keep()
    else:
        record._copied = None
    return record
