"""Calls on many keys at once, which overlap the waits for memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from .arguments import (
    DEFAULT_TTL,
    Bytes,
    Key,
    OnCrash,
    as_bytes,
    duration_ms,
    fingerprint_bytes,
    keys_bytes,
    on_crash_flag,
    ttl_ms,
)
from .claim import Claim, make_claim, undo
from .errors import error
from .handle import Handle
from .low_level import ffi, lib, new_reply
from .record import Record, make_record

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")


class BatchCalls(Handle):
    """`claim_many` and `lookup_many`."""

    __slots__ = ()

    def claim_many(
        self,
        keys: Iterable[Key],
        *,
        fingerprints: Iterable[Bytes | None] | None = None,
        intents: Iterable[Bytes] | None = None,
        ttl: float = DEFAULT_TTL,
        lease: float | None = None,
        on_crash: OnCrash = "reclaim",
        crash_grace: float = 0.0,
    ) -> list[Claim]:
        """Claims each of ``keys``; ``fingerprints`` and ``intents`` go with them one by one.

        The other arguments are those of `Store.claim` and hold for all. There is no waiting. The
        claims are in the order of the keys; a key that is there twice is busy the second time.

        Raises:
            FullError and others of `Store.claim`: for the first key that failed. What the batch
                had won is given back.
        """
        names = keys_bytes(keys)
        n = len(names)
        marks = [
            b"" if mark is None else fingerprint_bytes(mark)
            for mark in _beside("fingerprints", fingerprints, n, None)
        ]
        plans = [as_bytes("intent", plan) for plan in _beside("intents", intents, n, b"")]
        replies = [new_reply() for _ in names]
        results = ffi.new("int[]", n)
        status = lib.idem__py_claim_many(
            self._handle,
            n,
            *_joined(names),
            *_joined(marks),
            *_joined(plans),
            ttl_ms(ttl),
            0 if lease is None else duration_ms("lease", lease),
            duration_ms("crash_grace", crash_grace),
            on_crash_flag(on_crash),
            replies,
            results,
        )
        status = status or next((result for result in results if result < 0), 0)
        failure = error(status) if status else None
        claims = [
            make_claim(self, name, reply, result)
            for name, reply, result in zip(names, replies, results)
            if result > 0
        ]
        if failure is not None:
            undo(claims)
            raise failure
        return claims

    def lookup_many(self, keys: Iterable[Key]) -> list[Record | None]:
        """What is known of each of ``keys``, in their order; None where there is nothing."""
        names = keys_bytes(keys)
        replies = [new_reply() for _ in names]
        results = ffi.new("int[]", len(names))
        status = lib.idem__py_lookup_many(
            self._handle, len(names), *_joined(names), replies, results
        )
        if status:
            raise error(status)
        return [
            make_record(name, reply, result) if result >= 0 else None
            for name, reply, result in zip(names, replies, results)
        ]


def _joined(items: list[bytes]) -> tuple[bytes, list[int]]:
    """Byte strings as the glue takes them: in one piece, and their lengths."""
    return b"".join(items), [len(item) for item in items]


def _beside(name: str, items: Iterable[T] | None, n: int, default: T) -> list[T]:
    """``items``, or the default for each of ``n`` keys."""
    found = [default] * n if items is None else list(items)
    if len(found) != n:
        raise ValueError(f"{name} has {len(found)} items and must have one for each of {n} keys")
    return found
