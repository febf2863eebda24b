"""The store: claims, look-ups and waiting."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from . import aio, once
from .arguments import (
    DEFAULT_TTL,
    DEFAULT_TTL_MS,
    NO_TIME,
    Bytes,
    Key,
    OnCrash,
    as_bytes,
    duration_ms,
    fingerprint_bytes,
    key_bytes,
    on_crash_flag,
    ttl_ms,
)
from .batch import BatchCalls
from .claim import Claim, make_claim, spare_replies
from .errors import error
from .keys import KeyCalls
from .low_level import NULL, OWNED, lib, new_reply
from .record import Record, make_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from typing_extensions import ParamSpec, Unpack

    from .arguments import ClaimOptions

    P = ParamSpec("P")
    R = TypeVar("R")

# A wait in C lets no signal handler of Python run: so long may Ctrl-C or a worker's time-out take.
_WAIT_SLICE_MS = 100
_MS_PER_SECOND = 1000

# Names of this module are found faster than attributes of another.
_claim = lib.idem__py_claim
_lookup = lib.idem__py_lookup
_spare = spare_replies.pop


def _claim_waiting(arguments: tuple[Any, ...], wait: float) -> int:
    """Claims with sleeps, the last of ``arguments``, in slices; the glue's result."""
    left_ms = duration_ms("wait", wait)
    deadline = time.monotonic() + left_ms / _MS_PER_SECOND
    while True:
        result: int = _claim(*arguments[:-1], min(left_ms, _WAIT_SLICE_MS))
        left_ms = int((deadline - time.monotonic()) * _MS_PER_SECOND)
        if result & ~OWNED != lib.IDEM_BUSY or left_ms <= 0:
            return result
        if result & OWNED:
            lib.idem__py_free(arguments[1])


class Store(KeyCalls, BatchCalls):
    """A region opened by this process.

    Args:
        path: the region's file, usually in ``/dev/shm``; made if it is missing. None: a region
            without a name, shared by the processes that are forked from this one.
        max_bytes: the region's limit if it is made now.
        max_value_bytes: the largest value if it is made now; 0: 1 MiB, or what the region allows.
        mode: permission bits of the file if it is made now.
        group: group id of the file if it is made now; None: the process's.
        create: make the region if it is missing.
        exclusive: fail with FileExistsError if it is there.
        readonly: inspect only: `lookup`, `scan` and `stats`.

    Raises:
        OSError: a system call failed; errno tells which way.
        VersionError, CorruptError: the file is no region of this build.
        FullError: the file system has no room.
        ValueError, TypeError: an argument is wrong.

    One object serves all threads, and parent and children after a fork. It pickles as its path
    and options. It closes with its last reference, or `close`, or as a context manager.
    """

    __slots__ = ()

    def claim(
        self,
        key: Key,
        fingerprint: Bytes | None = None,
        ttl: float = DEFAULT_TTL,
        lease: float | None = None,
        intent: Bytes = b"",
        wait: float = NO_TIME,
        on_crash: OnCrash = "reclaim",
        crash_grace: float = NO_TIME,
    ) -> Claim:
        """Claims a key, or tells who has it: see `Outcome`.

        Args:
            key: 1 to 1024 bytes; text counts as UTF-8.
            fingerprint: 16 bytes that say which request uses the key (see `fingerprint`); another
                one for the same key is a MISMATCH. None: not compared.
            ttl: seconds from now that the key is kept, or `FOREVER`. A claim holds longer than
                that if its owner lives.
            lease: seconds until others may take over although the owner lives; None: never.
            intent: bytes for whoever must find out what became of the claim after a crash.
            wait: seconds to sleep at most while the key is BUSY.
            on_crash: ``"reclaim"``: if the owner dies, the next claimer runs the operation;
                ``"hold"``: it waits for `resolve`.
            crash_grace: seconds that the key stays BUSY after its owner's death, as what it began
                elsewhere may still be running.

        Raises:
            FullError: no room; nothing was evicted.
            TooBigError: the intent is too long.
            ReplacedError: the file was unlinked or replaced.
            SlotsError: too many processes or threads.
            ValueError, TypeError: an argument is wrong.

        >>> claim = store.claim("payout:7", ttl=3600.0)
        >>> claim.outcome.name, claim.won
        ('CLAIMED', True)
        >>> claim.complete(b'{"paid": true}')
        >>> store.claim("payout:7").value
        b'{"paid": true}'
        """
        if type(key) is not bytes:
            key = key_bytes(key)
        if type(intent) is not bytes:
            intent = as_bytes("intent", intent)
        try:
            reply = _spare()
        except IndexError:
            reply = new_reply()
        arguments = (
            self._handle,
            reply,
            key,
            len(key),
            NULL if fingerprint is None else fingerprint_bytes(fingerprint),
            intent,
            len(intent),
            DEFAULT_TTL_MS if ttl is DEFAULT_TTL else ttl_ms(ttl),
            0 if lease is None else duration_ms("lease", lease),
            0 if crash_grace is NO_TIME else duration_ms("crash_grace", crash_grace),
            0 if on_crash == "reclaim" else on_crash_flag(on_crash),
            0,
        )
        result = _claim(*arguments) if wait is NO_TIME else _claim_waiting(arguments, wait)
        if result < 0:
            raise error(result)
        return make_claim(self, key, reply, result)

    def lookup(self, key: Key) -> Record | None:
        """What is known of a key, or None. Writes nothing.

        >>> store.lookup("nobody's") is None
        True
        """
        if type(key) is not bytes:
            key = key_bytes(key)
        reply = new_reply()
        result = _lookup(self._handle, key, len(key), reply)
        if result < 0:
            if result == lib.IDEM_ENOTFOUND:
                return None
            raise error(result)
        return make_record(key, reply, result)

    def wait(self, key: Key, timeout: float) -> Record | None:
        """Sleeps until a key is not being run, at most ``timeout`` seconds: then as `lookup`.

        Raises:
            WaitTimeoutError: it is still being run.
        """
        name = key_bytes(key)
        left_ms = duration_ms("timeout", timeout)
        deadline = time.monotonic() + left_ms / _MS_PER_SECOND
        reply = new_reply()
        while True:
            slice_ms = min(left_ms, _WAIT_SLICE_MS)
            result = lib.idem__py_wait(self._handle, name, len(name), slice_ms, reply)
            left_ms = int((deadline - time.monotonic()) * _MS_PER_SECOND)
            if result != lib.IDEM_ETIMEDOUT or left_ms <= 0:
                break
        if result == lib.IDEM_ENOTFOUND:
            return None
        if result < 0:
            raise error(result)
        return make_record(name, reply, result)

    async def aclaim(self, key: Key, **options: Unpack[ClaimOptions]) -> Claim:
        """`claim` for event loops: with ``wait`` it polls, at most 50 ms apart, and blocks nobody.

        No thread or executor is used, and a cancelled call holds nothing.
        """
        return await aio.aclaim(self, key, **options)

    async def await_(self, key: Key, timeout: float) -> Record | None:
        """`wait` for event loops: polls, at most 50 ms apart.

        Raises:
            WaitTimeoutError: it is still being run.
        """
        return await aio.await_(self, key, timeout)

    def run(self, key: Key, fn: Callable[[], Bytes], **options: Unpack[ClaimOptions]) -> bytes:
        """Runs ``fn`` unless it has been run for this key; its value, or the one kept.

        Args:
            key: the operation's key.
            fn: returns the value as bytes. If it raises an Exception the key is given back (see
                `Claim`). It may be run again after a crash: an operation that must not be should
                pass ``on_crash="hold"``, or use `claim` and look at the outcome.
            options: those of `claim`.

        Raises:
            BusyError: somebody else runs it, and ``wait`` is over.
            MismatchError: the key belongs to another request.
            HeldError: it waits for `resolve`.
            NotKeptError: it has been run, but the value was too big to keep, or the store full.

        >>> store.run("greeting", lambda: b"hello")
        b'hello'
        >>> store.run("greeting", lambda: b"not run")
        b'hello'
        """
        return once.run(self, key, fn, options)

    def once(
        self,
        key: Callable[P, Key],
        *,
        fingerprint: Callable[P, bytes] | None = None,
        ttl: float = DEFAULT_TTL,
        lease: float | None = None,
        wait: float = NO_TIME,
        on_crash: OnCrash = "reclaim",
        crash_grace: float = NO_TIME,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorates a function, plain or async, to be run once for each key.

        Args:
            key: makes the key from the function's arguments.
            fingerprint: makes a fingerprint from them; None: not compared.
            ttl, lease, wait, on_crash, crash_grace: those of `claim`.

        The result is kept as JSON, and every caller, also the first, gets what JSON makes of it
        (a tuple becomes a list). Raises what `run` raises, CorruptError if what is kept is no
        JSON, and TypeError if JSON cannot hold the result: the operation has happened then, and
        its key is left abandoned.

        >>> @store.once(key=lambda order: f"ship:{order}")
        ... def ship(order):
        ...     return {"shipped": order}
        >>> ship(5) == ship(5) == {"shipped": 5}
        True
        """
        options: ClaimOptions = {
            "ttl": ttl,
            "lease": lease,
            "wait": wait,
            "on_crash": on_crash,
            "crash_grace": crash_grace,
        }
        return once.once(self, key, fingerprint, options)
