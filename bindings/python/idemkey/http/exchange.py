"""One request with its response, on the way through the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..arguments import duration_ms, seconds_or_forever
from ..errors import error
from ..low_level import ffi, lib
from .words import ACTIONS, OUTCOMES, REASONS, Action, Reason, id_text

if TYPE_CHECKING:
    from ..claim import Outcome
    from .engine import Engine

# A wait in C lets no signal handler of Python run: so long may Ctrl-C or a worker's time-out take.
_WAIT_SLICE_MS: Final = 100
_WAIT_MAX_S: Final = 3600.0  # the engine ends a wait at its profile's, which is at most that
_MS_PER_SECOND: Final = 1000
_ABANDON: Final = lib.IDEM_HTTP_ABANDON
_ACTION_MASK: Final = (1 << lib.IDEM__PY_HTTP_REASON_SHIFT) - 1
_TOLD: Final = lib.IDEM__PY_HTTP_TOLD
_CHANGED: Final = lib.IDEM__PY_HTTP_CHANGED
_STATUS_SHIFT: Final = lib.IDEM__PY_HTTP_STATUS_SHIFT
_WON: Final = (lib.IDEM_CLAIMED, lib.IDEM_RECLAIMED)

# Structs of exchanges that are gone, with the decision in each, for the next ones: making one costs
# as much as deciding. Bounded, as a burst should not be kept for ever.
spare: list[tuple[Any, Any]] = []
_SPARE_MAX: Final = 64

# Names of this module are found faster than attributes of another.
_decide = lib.idem__py_http_decide
_respond = lib.idem__py_http_respond
_free = lib.idem__py_http_free
_unpack = ffi.unpack
_buffer = ffi.buffer


class Exchange:
    """One request with its response; `Engine.begin` makes it.

    These calls are due in this order. Each returns what to do; why, and with what, the attributes
    tell until the next call::

        begin       PASS                 run the application
                    NEED_BODY            give the request's body:
        feed ...
        decide      REPLAY, REJECT       send the answer: status, fields, body
                    WAIT                 wait, or sleep and decide; the same again
                    RUN                  run the application, then:
        response
        data ...    BUFFER               hold back what it sends
                    STREAM               send what was held, and the rest as it comes
        finish      SEND                 the response is complete: send it
        abort                            there will be none
        close       whatever happened: a claim that is still held is abandoned

    Where a response's head is `changed`, it is sent with ``fields`` added to it and, where
    ``strip`` says so, without X-Idemkey-Keep. Header fields are lines that end in CR LF; as in
    WSGI, text stands for bytes of Latin-1.

    A handler is given it as the claim that it holds: with `reconcile` it must look at what an
    earlier attempt has done before it acts.

    The calls raise ValueError where they are not due and OSError where memory ran out; what the
    store refuses is no error but a decision. Not for two threads at once, nor for a forked child.
    """

    __slots__ = ("__weakref__", "_app_status", "_code", "_engine", "_made", "_self", "action")

    action: Action
    """What to do."""
    _engine: Engine
    _self: Any  # struct idem__py_exchange *
    _made: Any  # the C decision in it
    _code: int  # what the last call returned
    _app_status: int

    def __new__(cls) -> Exchange:  # noqa: D102
        raise TypeError("an Exchange is made by Engine.begin")

    def feed(self, piece: bytes) -> Action:
        """Feeds a piece of the request's body: NEED_BODY, or REJECT as soon as it is too large."""
        return self._decided(lib.idem__py_http_body(self._self, piece, len(piece)))

    def decide(self, body: bytes = b"") -> Action:
        """Feeds the whole body, or the rest of it, and decides: RUN, WAIT, REPLAY, REJECT, PASS.

        After WAIT, without a body: decides anew.
        """
        return self._decided(_decide(self._self, body, len(body)))

    def wait(self, timeout: float = _WAIT_MAX_S) -> Action:
        """After WAIT: sleeps until the key is free or done, for as long as its profile has it.

        Args:
            timeout: seconds to sleep at most; if they are over before the profile's wait is, the
                action is WAIT again.
        """
        left_ms = duration_ms("timeout", timeout)
        while True:
            slice_ms = min(left_ms, _WAIT_SLICE_MS)
            action = self._decided(lib.idem__py_http_wait(self._self, slice_ms))
            left_ms -= slice_ms
            if action is not Action.WAIT or left_ms <= 0:
                return action

    def response(self, status: int, fields: str, *, unrouted: bool = False) -> Action:
        """The application's response begins: BUFFER.

        Args:
            status: 200 to 599.
            fields: its header fields, ``name: value`` CR LF each.
            unrouted: it is a 404 that came from routing; no handler ran.
        """
        self._app_status = status
        lines = fields.encode("latin-1")
        return self._decided(
            lib.idem__py_http_response(self._self, status, lines, len(lines), unrouted)
        )

    def data(self, piece: bytes) -> Action:
        """A piece of its body: BUFFER, or STREAM once it is larger than is kept."""
        return self._decided(lib.idem__py_http_data(self._self, piece, len(piece)))

    def finish(self) -> Action:
        """The response is complete: records it, or gives the key back. SEND."""
        return self._decided(lib.idem__py_http_finish(self._self))

    def respond(self, status: int, fields: str, body: bytes, *, unrouted: bool = False) -> Action:
        """`response`, `data` and `finish` of a response that is complete. SEND."""
        self._app_status = status
        lines = fields.encode("latin-1")
        return self._decided(
            _respond(self._self, status, lines, len(lines), unrouted, body, len(body))
        )

    def abort(self, exception: BaseException) -> None:
        """There will be no complete response, because of this exception.

        An Exception is the application's word that the operation did not happen: the key is
        released. Anything else (a worker's exit, a cancelled task) says nothing: it is abandoned,
        as if this process had died. After the response was dealt with this does nothing.
        """
        self._abort(lib.IDEM_HTTP_RELEASE if isinstance(exception, Exception) else _ABANDON)

    def close(self) -> None:
        """Ends the exchange; a claim that it still holds is abandoned. Twice does nothing."""
        if self._self.running:
            self._abort(_ABANDON)
        _free(self._self)

    def __del__(self) -> None:
        mine = self._self
        if mine.running:
            self._abort(_ABANDON)
        _free(mine)
        if len(spare) < _SPARE_MAX:
            spare.append((mine, self._made))

    @property
    def reason(self) -> Reason:
        """Why."""
        reason: Reason = REASONS[self._made.reason]
        return reason

    @property
    def status(self) -> int:
        """Of the answer: REPLAY, REJECT."""
        return int(self._code >> _STATUS_SHIFT)

    @property
    def fields(self) -> str:
        """REPLAY, REJECT: the answer's header fields. SEND, STREAM: what the response's lack."""
        made = self._made
        length = made.fields_len
        return str(_unpack(made.fields, length), "latin-1") if length else ""

    @property
    def body(self) -> bytes:
        """REPLAY, REJECT: the answer's body."""
        made = self._made
        return bytes(_buffer(made.body, made.body_len))

    @property
    def changed(self) -> bool:
        """SEND, STREAM: `fields` are to be added, or `strip` says yes. Often neither is."""
        return bool(self._code & _CHANGED)

    @property
    def strip(self) -> bool:
        """SEND, STREAM: take X-Idemkey-Keep out of the response's header fields."""
        return bool(self._made.strip)

    @property
    def retry_after(self) -> float:
        """WAIT: how many seconds more to wait. REJECT: Retry-After, 0 where there is none."""
        return float(self._made.retry_after_ms / _MS_PER_SECOND)

    @property
    def outcome(self) -> Outcome | None:
        """What the store said; None where it was not asked."""
        outcome: Outcome | None = OUTCOMES[self._made.outcome]
        return outcome

    @property
    def won(self) -> bool:
        """Whether the application is to run the operation: CLAIMED or RECLAIMED."""
        return self._made.outcome in _WON

    @property
    def reconcile(self) -> bool:
        """Whether an earlier attempt may have done it already: look, before acting again."""
        return bool(self._made.outcome == lib.IDEM_RECLAIMED)

    @property
    def attempt(self) -> int:
        """1 for the key's first execution, one more at every takeover."""
        return int(self._made.attempt)

    @property
    def id(self) -> str:
        """The key's public id in the store, 16 hexadecimal digits; empty where it has none."""
        return id_text(self._made.id)

    @property
    def expires_in(self) -> float:
        """Seconds of retention left, or `FOREVER`; 0 where it is not known."""
        return seconds_or_forever(self._made.expires_in_ms)

    def _decided(self, code: int) -> Action:
        if code < 0:
            raise _error(code)
        self._code = code
        action: Action = ACTIONS[code & _ACTION_MASK]
        self.action = action
        if code & _TOLD:
            self._engine._observing.tell(
                self._made, code, code >> _STATUS_SHIFT or self._app_status
            )
        return action

    def _abort(self, how: int) -> None:
        code = lib.idem__py_http_abort(self._self, how)
        if code > 0:
            self._engine._observing.tell(self._made, code, self._app_status)

    def __repr__(self) -> str:
        return f"<Exchange {self.action.name} {self.reason.name}>"


def _error(status: int) -> Exception:
    if status == lib.IDEM_EINVAL:
        return ValueError(
            "this call is not due (see Exchange), or the response has a status outside 200 to 599 "
            "or a malformed header"
        )
    return error(status)
