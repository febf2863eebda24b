"""What the workers see, written so that it outlives a worker killed at any moment."""

from __future__ import annotations

import os
import struct
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from idemkey import Claim, Outcome, Store

if TYPE_CHECKING:
    from collections.abc import Iterator

_RECORD = struct.Struct("<BBQ")
_OUTCOMES = list(Outcome)


class Event(NamedTuple):
    """One claim: its outcome, whether it slept for that, and how long the store took to answer."""

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


class ObservedStore:
    """A store as the middleware uses it, whose claims are timed."""

    def __init__(self, store: Store, observations: Observations) -> None:
        self._store = store
        self._observations = observations

    def claim(self, key: bytes, *, wait: float, **options: Any) -> Claim:
        """Claim at once, to time the store's answer; sleep only if the key is being run."""
        start_ns = time.perf_counter_ns()
        claim = self._store.claim(key, **options)
        took_ns = time.perf_counter_ns() - start_ns
        waited = claim.outcome is Outcome.BUSY
        if waited:
            claim = self._store.claim(key, wait=wait, **options)
        self._observations.record(Event(claim.outcome, waited, took_ns))
        return claim
