"""What is to be done with a request or its response, and why: the words."""

from __future__ import annotations

import enum
from typing import Any, Final

from ..claim import Outcome
from ..low_level import lib


class Action(enum.Enum):
    """What to do."""

    PASS = lib.IDEM_HTTP_PASS
    """Idempotency does not apply: run the application, untouched."""
    NEED_BODY = lib.IDEM_HTTP_NEED_BODY
    """Give the request's body, then decide."""
    RUN = lib.IDEM_HTTP_RUN
    """Run the application and give its response."""
    WAIT = lib.IDEM_HTTP_WAIT
    """It is being run: wait for it."""
    REPLAY = lib.IDEM_HTTP_REPLAY
    """Send the answer: what was recorded."""
    REJECT = lib.IDEM_HTTP_REJECT
    """Send the answer: a refusal; nothing runs."""
    BUFFER = lib.IDEM_HTTP_BUFFER
    """Hold the response's body back."""
    STREAM = lib.IDEM_HTTP_STREAM
    """Send what was held back, and the rest as it comes."""
    SEND = lib.IDEM_HTTP_SEND
    """Finished: send the response."""


class Reason(enum.Enum):
    """Why."""

    NO_REASON = lib.IDEM_HTTP_NO_REASON
    """It goes without saying."""
    NOT_APPLICABLE = lib.IDEM_HTTP_NOT_APPLICABLE
    """PASS: the method or route is not covered."""
    NO_KEY = lib.IDEM_HTTP_NO_KEY
    """PASS, or REJECT where a key is required."""
    BAD_KEY = lib.IDEM_HTTP_BAD_KEY
    """REJECT."""
    NO_PRINCIPAL = lib.IDEM_HTTP_NO_PRINCIPAL
    """REJECT: the request does not say who sends it."""
    BAD_REQUEST = lib.IDEM_HTTP_BAD_REQUEST
    """REJECT: malformed headers, or a body cut short."""
    TOO_LARGE = lib.IDEM_HTTP_TOO_LARGE
    """REJECT: the request's body."""
    FIRST = lib.IDEM_HTTP_FIRST
    """RUN: the key is new."""
    AGAIN = lib.IDEM_HTTP_AGAIN
    """RUN: an earlier attempt's fate is unknown."""
    RECORDED = lib.IDEM_HTTP_RECORDED
    """REPLAY."""
    NOT_KEPT = lib.IDEM_HTTP_NOT_KEPT
    """REJECT: done, but its response was not kept."""
    CONFLICT = lib.IDEM_HTTP_CONFLICT
    """REJECT: the key belongs to another request."""
    IN_FLIGHT = lib.IDEM_HTTP_IN_FLIGHT
    """WAIT, REJECT: it is being run."""
    UNKNOWN = lib.IDEM_HTTP_UNKNOWN
    """REJECT: its owner died; a person must resolve the key."""
    STORE_FAILED = lib.IDEM_HTTP_STORE_FAILED
    """REJECT, or PASS where the profile fails open; SEND: not recorded."""
    KEPT = lib.IDEM_HTTP_KEPT
    """SEND: the response was recorded."""
    KEPT_WITHOUT = lib.IDEM_HTTP_KEPT_WITHOUT
    """STREAM, SEND: the key is done, its response too large to keep."""
    RELEASED = lib.IDEM_HTTP_RELEASED
    """SEND: the response decides nothing, the key may run again. So may it after an exception."""
    LOST = lib.IDEM_HTTP_LOST
    """SEND: the claim had been taken over meanwhile."""
    ABANDONED = lib.IDEM__PY_HTTP_ABANDONED
    """No decision: the request ended without a verdict, as if its process had died."""


def id_text(number: int) -> str:
    """A public id as all bindings write it; empty for none."""
    return f"{number:016x}" if number else ""


def _by_number(kind: type[enum.Enum]) -> list[Any]:
    """Members by their numbers in C: a list is read faster than an enum is called."""
    members = {member.value: member for member in kind}
    return [members.get(number) for number in range(max(members) + 1)]


ACTIONS: Final = _by_number(Action)
REASONS: Final = _by_number(Reason)
OUTCOMES: Final = _by_number(Outcome)
