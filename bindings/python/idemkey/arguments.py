"""From Python's arguments to those of C: byte strings, and seconds to milliseconds.

C checks the limits of what it gets; here is checked what C cannot see: types, and numbers that do
not survive the way.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal, TypedDict, Union

from .low_level import lib

if TYPE_CHECKING:
    from collections.abc import Iterable

Bytes = Union[bytes, bytearray, memoryview]
Key = Union[Bytes, str]
OnCrash = Literal["reclaim", "hold"]

#: The ttl of a key that is kept for ever.
FOREVER: Final = math.inf
#: The ttl of a claim that gives none: one day, in seconds, as in C.
DEFAULT_TTL: Final = 86400.0
DEFAULT_TTL_MS: Final = 86_400_000
#: No wait, no grace: the default, recognised by identity, which costs less than a comparison.
NO_TIME: Final = 0.0

_MS_PER_SECOND = 1000
# Sent for all that is above it, so that C, which knows the limit, refuses it by name.
_INT64_MAX = 2**63 - 1
_SECONDS_MAX = _INT64_MAX // _MS_PER_SECOND + 1

_ON_CRASH = {"reclaim": 0, "hold": lib.IDEM_HOLD}


class ClaimOptions(TypedDict, total=False):
    """The keyword arguments that all ways of claiming share; `Store.claim` describes them."""

    fingerprint: bytes | None
    ttl: float
    lease: float | None
    intent: bytes
    wait: float
    on_crash: OnCrash
    crash_grace: float


def integer(name: str, value: int, limit: int = _INT64_MAX) -> int:
    """``value``, or TypeError, or ValueError if it is not 0 to ``limit``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if not 0 <= value <= limit:
        raise ValueError(f"{name} is {value} and must be 0 to {limit}")
    return value


def keys_bytes(keys: Iterable[Key]) -> list[bytes]:
    """Many keys as bytes; a single one is a mistake, not a list of its letters."""
    if isinstance(keys, (str, bytes, bytearray, memoryview)):
        raise TypeError(f"keys must be an iterable of keys, not one {type(keys).__name__}")
    return [key_bytes(key) for key in keys]


def key_bytes(key: Key) -> bytes:
    """A key as bytes; text as UTF-8."""
    if isinstance(key, str):
        return key.encode()
    return as_bytes("key", key, "bytes or str")


def as_bytes(name: str, value: Bytes, wanted: str = "bytes") -> bytes:
    """``value`` as bytes, or TypeError."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"{name} must be {wanted}, not {type(value).__name__}")


def fingerprint_bytes(fingerprint: Bytes) -> bytes:
    """A fingerprint, checked: C is given its address only."""
    value = as_bytes("fingerprint", fingerprint, "bytes or None")
    if len(value) != lib.IDEM_FINGERPRINT_SIZE:
        raise ValueError(
            f"fingerprint has {len(value)} bytes and must have {lib.IDEM_FINGERPRINT_SIZE}: "
            f"make it with idemkey.fingerprint(...)"
        )
    return value


def on_crash_flag(on_crash: str) -> int:
    """The C flag for ``on_crash``."""
    try:
        return int(_ON_CRASH[on_crash])
    except (KeyError, TypeError):
        raise ValueError(f"on_crash must be 'reclaim' or 'hold', not {on_crash!r}") from None


def ttl_ms(seconds: float) -> int:
    """A ttl in ms, rounded up; C's code for `FOREVER`."""
    if isinstance(seconds, float) and seconds == FOREVER:
        return int(lib.IDEM_FOREVER)
    ms = duration_ms("ttl", seconds)
    if ms == 0:
        raise ValueError("ttl is 0 seconds and must be above 0, or idemkey.FOREVER")
    return ms


def duration_ms(name: str, seconds: float) -> int:
    """Seconds as ms, rounded up, so that a short wait is not none at all."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {type(seconds).__name__}")
    if not 0 <= seconds < math.inf:
        hint = " (idemkey.FOREVER is a ttl only)" if seconds == FOREVER else ""
        raise ValueError(f"{name} is {seconds} seconds and must be 0 or more, and finite{hint}")
    # The smaller one first: a large float would become infinite.
    return min(math.ceil(min(seconds, _SECONDS_MAX) * _MS_PER_SECOND), _INT64_MAX)


def seconds_or_none(ms: int) -> float | None:
    """C's milliseconds as seconds; None for its -1, "there is none"."""
    return None if ms < 0 else ms / _MS_PER_SECOND


def seconds_or_forever(ms: int) -> float:
    """C's retention as seconds."""
    return FOREVER if ms == lib.IDEM_FOREVER else ms / _MS_PER_SECOND
