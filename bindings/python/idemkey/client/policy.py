"""When to send again: what an answer means, and how long to wait before the next try."""

from __future__ import annotations

import enum
import math
import random
import re
import time
from dataclasses import dataclass, fields
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from idemkey.arguments import integer

if TYPE_CHECKING:
    from collections.abc import Callable

CONFLICT = 409
TOO_MANY_REQUESTS = 429
SEE_OTHER = 303
FIRST_SERVER_ERROR = 500

# They say "not now", "not you" or "not here": whether the operation happens is left to a later try.
# A client cannot tell the 404 of a wrong URL from that of a missing thing, so it belongs to them.
UNDECIDED_STATUSES = frozenset({401, 403, 404, 405, 407, 408, 421, 425, 426})

_DIGITS = re.compile(r"[0-9]+")
# Doubling more often than this is above any cap; larger powers do not fit a float.
_DOUBLINGS_MAX = 64


class Meaning(enum.Enum):
    """What an answer says of the operation."""

    DECIDED = enum.auto()
    """The server has run it, or refused it for good: the answer is kept."""
    REFUSED = enum.auto()
    """Not run, and trying again at once would not help."""
    LATER = enum.auto()
    """Not run: try again."""
    UNSURE = enum.auto()
    """It may have been run, or is running: try again if the server is idempotent."""


def meaning(status: int, retry_after: str | None, server_idempotent: bool) -> Meaning:
    """What an answer with this status and ``Retry-After`` header means.

    >>> meaning(503, None, True), meaning(422, None, True)
    (<Meaning.UNSURE: 4>, <Meaning.DECIDED: 1>)
    """
    if status >= FIRST_SERVER_ERROR:
        return Meaning.UNSURE
    if status == TOO_MANY_REQUESTS:
        return Meaning.LATER
    if status == CONFLICT and server_idempotent and retry_after is not None:
        return Meaning.UNSURE  # an earlier request with this key is in flight
    if status in UNDECIDED_STATUSES or (300 <= status < 400 and status != SEE_OTHER):
        return Meaning.REFUSED
    return Meaning.DECIDED


def retry_after_seconds(value: str | None, now: float | None = None) -> float | None:
    """Seconds to wait that a ``Retry-After`` header asks for; None if it says nothing readable.

    Args:
        value: the header: seconds, or a date of HTTP.
        now: Unix time; None: of the system.

    >>> retry_after_seconds("120")
    120.0
    >>> retry_after_seconds("Thu, 01 Jan 1970 00:01:00 GMT", now=50.0)
    10.0
    """
    text = (value or "").strip()
    if _DIGITS.fullmatch(text):
        return float(text)
    try:
        then = parsedate_to_datetime(text)
        if then.tzinfo is None:  # the old form of asctime() does not say that it is in GMT
            then = then.replace(tzinfo=timezone.utc)
        return max(0.0, then.timestamp() - (time.time() if now is None else now))
    except (TypeError, ValueError, IndexError, OverflowError):  # as versions of Python differ
        return None


def seconds_arg(name: str, seconds: float, *, allow_zero: bool) -> None:
    """Raises TypeError or ValueError unless it is a finite number of seconds."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {type(seconds).__name__}")
    if not 0 <= seconds < math.inf or not (seconds or allow_zero):
        least = "0 or more" if allow_zero else "above 0"
        raise ValueError(f"{name} is {seconds} seconds and must be {least}, and finite")


@dataclass(frozen=True)
class Retry:
    """How often, how long, and with what pauses a request is sent.

    The pause after the n-th failure is random between 0 and ``base * 2**(n-1)`` (at most ``cap``),
    so that callers that failed together do not come back together; what ``Retry-After`` asks for
    is waited for in addition.

    >>> Retry(attempts=3, base=1.0).delay(2, None) <= 2.0
    True
    """

    attempts: int = 5
    """Requests at most, the first included."""
    base: float = 0.5
    """Seconds of the longest first pause."""
    cap: float = 30.0
    """Seconds of the longest pause, apart from ``Retry-After``."""
    deadline: float = 120.0
    """Seconds for everything: no request is begun later."""
    retry_after_cap: float = 60.0
    """Seconds of ``Retry-After`` that are waited for at most."""

    def __post_init__(self) -> None:
        if integer("attempts", self.attempts) < 1:
            raise ValueError("attempts is 0 and must be 1 or more: the first request counts")
        for field in fields(self)[1:]:
            seconds_arg(field.name, getattr(self, field.name), allow_zero=field.name != "deadline")

    def delay(
        self,
        failures: int,
        retry_after: float | None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> float:
        """Seconds to wait after so many failures (1: the first), and what ``Retry-After`` asks."""
        longest = min(self.cap, self.base * 2.0 ** min(failures - 1, _DOUBLINGS_MAX))
        return min(retry_after or 0.0, self.retry_after_cap) + uniform(0.0, longest)
