"""What operators see: counters, log records, and the observer's events."""

from __future__ import annotations

import enum
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from ..low_level import ffi, lib, text
from .words import ACTIONS, OUTCOMES, REASONS, Action, Reason, id_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final

    from ..claim import Outcome

    Observer = Callable[["Event"], object]

log: Final = logging.getLogger("idemkey.http")


class Event(NamedTuple):
    """Something that was decided about a request: what an observer is called with."""

    profile: str
    """The profile's name."""
    route: str
    """The pattern of the route that matched, or empty."""
    action: Action
    """What was to be done. After an exception or an exit it is the last one: RUN, or BUFFER."""
    reason: Reason
    """Why, or what happened."""
    status: int
    """Of the answer, or of the application's response; 0 where there is none yet."""
    outcome: Outcome | None
    """What the store said, if it was asked."""
    attempt: int
    """How often the key has been claimed."""
    id: str
    """The key's public id in the store, 16 hexadecimal digits, or empty."""
    key: str
    """The key's hash; with ``log_keys`` the key itself; empty without one."""
    detail: str
    """What failed, for a person; empty if nothing did."""


_LEVELS: Final = [logging.DEBUG] * len(REASONS)  # by the reasons' numbers
for _level, _reasons in (
    (logging.ERROR, (Reason.STORE_FAILED, Reason.LOST)),
    (logging.WARNING, (Reason.AGAIN, Reason.UNKNOWN, Reason.KEPT_WITHOUT, Reason.ABANDONED)),
    (
        logging.INFO,
        (
            Reason.BAD_KEY,
            Reason.NO_PRINCIPAL,
            Reason.BAD_REQUEST,
            Reason.TOO_LARGE,
            Reason.NOT_KEPT,
            Reason.CONFLICT,
            Reason.IN_FLIGHT,
        ),
    ),
):
    for _reason in _reasons:
        _LEVELS[_reason.value] = _level

_REASON_SHIFT: Final = lib.IDEM__PY_HTTP_REASON_SHIFT
_REASON_MASK: Final = lib.IDEM__PY_HTTP_REASONS - 1
_logs = log.isEnabledFor
_MESSAGE: Final = (
    "%(idemkey_reason)s: profile %(idemkey_profile)s, key %(idemkey_key)s, attempt"
    " %(idemkey_attempt)s, status %(idemkey_status)s. %(idemkey_detail)s"
)


class Observing:
    """The counters of one engine, and whom else to tell."""

    def __init__(
        self, profiles: Iterable[str], observer: Observer | None, *, log_keys: bool
    ) -> None:
        if observer is not None and not callable(observer):
            raise TypeError(f"observer must be callable, not {type(observer).__name__}")
        self._observer = observer
        self._log_keys = log_keys
        self._names = [ffi.new("char[]", name.encode()) for name in sorted(set(profiles))]
        #: What C counts in.
        self.counters = ffi.new("struct idem__py_counts[]", len(self._names) + 1)
        for place, name in zip(self.counters, self._names):
            place.profile = name

    def counts(self) -> dict[str, dict[str, int]]:
        """How often each reason was seen, by profile; those that were."""
        counts = {}
        for place, name in zip(self.counters, self._names):
            seen = list(place.reasons)
            counts[text(name)] = {
                reason.name: seen[reason.value] for reason in Reason if seen[reason.value]
            }
        return counts

    def tell(self, made: Any, code: int, status: int) -> None:
        """Tells what happened to the request of the C decision ``made``; a call gave ``code``."""
        reason = code >> _REASON_SHIFT & _REASON_MASK
        observer = self._observer
        logs = _logs(_LEVELS[reason])
        if not logs and observer is None:
            return
        event = self._event(made, REASONS[reason], status)
        if logs:
            fields = _fields(event)
            log.log(_LEVELS[reason], _MESSAGE, fields, extra=fields)
        if observer is not None:
            try:
                observer(event)
            except Exception:  # a request must not fail for what watches it
                log.exception("the observer failed at %s", event)

    def _event(self, made: Any, reason: Reason, status: int) -> Event:
        if self._log_keys:
            key = ffi.unpack(made.key, made.key_len).decode("latin-1")
        else:
            key = text(made.key_hash)
        return Event(
            profile=text(made.profile),
            route=text(made.route),
            action=ACTIONS[made.action],
            reason=reason,
            status=status,
            outcome=OUTCOMES[made.outcome],
            attempt=made.attempt,
            id=id_text(made.id),
            key=key,
            detail=text(made.detail),
        )


def _fields(event: Event) -> dict[str, Any]:
    """The event as attributes of a log record, under names that no other has."""
    return {
        f"idemkey_{name}": value.name if isinstance(value, enum.Enum) else value
        for name, value in event._asdict().items()
    }
