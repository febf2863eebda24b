"""What the workers see, written so that it outlives a worker killed at any moment."""

from __future__ import annotations

import os
import struct
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from idemkey import Outcome
from idemkey.http import Action

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from idemkey import http

_RECORD = struct.Struct("<BBQ")
_OUTCOMES = list(Outcome)


class Event(NamedTuple):
    """One request: what the store said, whether it slept for that, and how long that took."""

    outcome: Outcome
    waited: bool
    took_ns: int


class Observations:
    """A folder with a file of events for each worker and a marker for each request in a handler."""

    def __init__(self, folder: Path) -> None:
        self._events = folder / "events"
        self.inside = folder / "inside"
        self._events.mkdir(exist_ok=True)
        self.inside.mkdir(exist_ok=True)
        self._file: tuple[int, int] | None = None
        self._request = threading.local()

    def timed(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """Wrap the application: takes the time when each request arrives."""

        def wrapped(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            self._request.arrived_ns, self._request.waited = time.perf_counter_ns(), False
            return app(environ, start_response)

        return wrapped

    def decided(self, event: http.Event) -> None:
        """Record what becomes of a request; the middleware calls it, in the request's thread."""
        if event.action is Action.WAIT:
            self._request.waited = True
        elif event.outcome and event.action in (Action.RUN, Action.REPLAY, Action.REJECT):
            took_ns = time.perf_counter_ns() - self._request.arrived_ns
            self.record(Event(event.outcome, self._request.waited, took_ns))

    def record(self, event: Event) -> None:
        """Append an event: one small write, so that a kill leaves a whole number of them."""
        pid = os.getpid()
        if self._file is None or self._file[0] != pid:  # opened anew after fork
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            self._file = (pid, os.open(self._events / str(pid), flags, 0o600))
        code = _OUTCOMES.index(event.outcome)
        os.write(self._file[1], _RECORD.pack(code, event.waited, event.took_ns))

    def events(self) -> list[Event]:
        """Read what all workers recorded."""
        data = b"".join(file.read_bytes() for file in self._events.iterdir())
        return [
            Event(_OUTCOMES[code], bool(waited), took_ns)
            for code, waited, took_ns in _RECORD.iter_unpack(data)
        ]

    @contextmanager
    def handling(self) -> Iterator[None]:
        """Mark this thread as inside a handler; the marker of a killed worker stays."""
        marker = self.inside / f"{os.getpid()}-{threading.get_ident()}"
        marker.touch()
        try:
            yield
        finally:
            marker.unlink()
