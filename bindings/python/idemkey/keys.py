"""Calls on a store that are not on the hot path: one key's care, and the whole store's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .arguments import DEFAULT_TTL, Bytes, Key, as_bytes, integer, key_bytes, ttl_ms
from .errors import error
from .handle import Handle
from .low_level import NULL, ffi, lib, new_reply, struct_fields, text
from .record import Record, make_record

if TYPE_CHECKING:
    from collections.abc import Iterator


class KeyCalls(Handle):
    """`forget`, `touch`, `resolve`, `scan`, and `stats`, `check`, `sweep`, `resize`."""

    __slots__ = ()

    def forget(self, key: Key, *, force: bool = False) -> bool:
        """Removes a key and zeroes its bytes; whether there was one.

        Raises:
            BusyError: a living process runs it, and ``force`` is false.
        """
        name = key_bytes(key)
        flags = lib.IDEM_FORCE if force else 0
        status = lib.idem_forget(self._handle, name, len(name), flags)
        if status == lib.IDEM_ENOTFOUND:
            return False
        if status:
            raise error(status)
        return True

    def touch(self, key: Key, ttl: float) -> None:
        """Keeps a done key for ``ttl`` seconds from now, or for `FOREVER`.

        Raises:
            NotFoundError: there is no such key.
            BusyError: it is not done yet.
        """
        name = key_bytes(key)
        status = lib.idem_touch(self._handle, name, len(name), ttl_ms(ttl))
        if status:
            raise error(status)

    def resolve(self, key: Key, value: Bytes | None, ttl: float = DEFAULT_TTL) -> None:
        """Ends a key whose owner died or left it, for instance a held one.

        Args:
            key: the key.
            value: what later claimers get, if the operation has happened; None: it has not, so
                forget the key.
            ttl: seconds from now to keep the value, or `FOREVER`.

        Raises:
            NotFoundError: there is no such key, or it is not orphaned.
            BusyError: a living process runs it.
        """
        name = key_bytes(key)
        if value is None:
            status = lib.idem_resolve(self._handle, name, len(name), NULL, 0, 0)
        else:
            data = as_bytes("value", value, "bytes or None")
            status = lib.idem_resolve(self._handle, name, len(name), data, len(data), ttl_ms(ttl))
        if status:
            raise error(status)

    def scan(self) -> Iterator[Record]:
        """Every live key, in no order; one that is live throughout is seen exactly once.

        >>> store.claim("scanned").complete(b"1")
        >>> [record.value for record in store.scan() if record.key == b"scanned"]
        [b'1']
        """
        cursor = ffi.new("uint64_t *")
        while True:
            reply = new_reply()
            result = lib.idem__py_scan(self._handle, cursor, reply)
            if result == lib.IDEM_ENOTFOUND:
                return
            if result < 0:
                raise error(result)
            record = reply.claim.record
            yield make_record(bytes(ffi.buffer(record.key, record.key_len)), reply, result)

    def stats(self) -> dict[str, int]:
        """Counters of bytes, blocks, keys and processes at this moment: ``struct idem_stats``."""
        stats = ffi.new("struct idem_stats *", {"size": ffi.sizeof("struct idem_stats")})
        status = lib.idem_stats(self._handle, stats)
        if status:
            raise error(status)
        return struct_fields(stats, leave_out=("size",))

    def check(self) -> dict[str, int]:
        """Verifies every invariant of the region, and counts what it has seen.

        Returns:
            ``violations`` (0), and the ``records``, ``values`` and ``heads`` checked.

        Raises:
            CorruptError: one is broken; the message tells the first.
        """
        report = ffi.new("struct idem_report *", {"size": ffi.sizeof("struct idem_report")})
        status = lib.idem_check(self._handle, report)
        if status:
            failure = error(status)
            if report.violations:
                failure = type(failure)(f"{failure} ({report.violations}: {text(report.first)})")
            raise failure
        return struct_fields(report, leave_out=("size", "pad", "first"))

    def sweep(self, budget: int = 0) -> int:
        """Does reclaiming now, of at most ``budget`` blocks (0: all); the blocks freed.

        Raises:
            ValueError: the budget is negative.
        """
        freed = int(lib.idem_sweep(self._handle, integer("budget", budget)))
        if freed < 0:
            raise error(freed)
        return freed

    def resize(self, max_bytes: int) -> None:
        """Raises the region's limit while others work.

        Raises:
            ValueError: below the limit in force, or above the region's ceiling.
            FullError: the file system has no room.
        """
        status = lib.idem_resize(self._handle, integer("max_bytes", max_bytes))
        if status:
            raise error(status)
