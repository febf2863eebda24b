"""Kills workers in the middle of a request, and stops one for a while."""

from __future__ import annotations

import os
import random
import select
import signal
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ledger import Ledger
    from load import Load

PAUSE_BETWEEN_S = (0.1, 0.6)
STOP_S = 1.5
POLL_S = 0.001
DEATH_DEADLINE_MS = 5000


class Chaos:
    """Kills ``kills`` workers inside a request, and stops one in between; then sets ``over``."""

    def __init__(
        self,
        inside: Path,
        ledger: Ledger,
        load: Load,
        seed: int,
        kills: int,
        over: threading.Event,
    ) -> None:
        self.killed = 0
        self.stopped_pid: int | None = None
        self.answers_while_stopped: int | None = None
        self.error: Exception | None = None
        self._inside = inside
        self._ledger = ledger
        self._load = load
        self._rng = random.Random(seed)
        self._kills = kills
        self._over = over
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start striking."""
        self._thread.start()

    def end(self) -> None:
        """Stop striking; returns when the last strike is over."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            for number in range(self._kills):
                if number == self._kills // 2:
                    self._until(self._stop_one)
                self._over.wait(self._rng.uniform(*PAUSE_BETWEEN_S))
                self._until(self._kill_one)
        except Exception as error:  # reported at the end
            self.error = error
        finally:
            self._over.set()

    def _until(self, strike: Callable[[int, int], bool]) -> None:
        while not self._over.is_set():
            for pid in self._workers_inside():
                try:
                    process = os.pidfd_open(pid)  # names this process even if its pid is reused
                except ProcessLookupError:
                    continue
                try:
                    if self._markers(pid) and strike(pid, process):
                        return
                finally:
                    os.close(process)
            time.sleep(POLL_S)

    def _kill_one(self, pid: int, process: int) -> bool:
        signal.pidfd_send_signal(process, signal.SIGKILL)
        poll = select.poll()
        poll.register(process, select.POLLIN)
        if not poll.poll(DEATH_DEADLINE_MS):
            raise RuntimeError(f"worker {pid} did not die of SIGKILL")
        # What it was inside of is marked for ever, since only it would have taken the marks away.
        left = self._markers(pid)
        for marker in left:
            marker.unlink()
        self.killed += bool(left)
        return bool(left)

    def _stop_one(self, pid: int, process: int) -> bool:
        signal.pidfd_send_signal(process, signal.SIGSTOP)
        try:
            # SQLite's lock in the hands of a stopped process blocks everyone: not ours to show.
            if not self._markers(pid) or self._ledger.is_locked():
                return False
            self.stopped_pid = pid
            before = self._load.counts["answers"]
            self._over.wait(STOP_S)
            self.answers_while_stopped = self._load.counts["answers"] - before
            return True
        finally:
            self.stopped_pid = None
            signal.pidfd_send_signal(process, signal.SIGCONT)

    def _workers_inside(self) -> list[int]:
        pids = sorted({int(marker.name.split("-")[0]) for marker in self._inside.iterdir()})
        self._rng.shuffle(pids)
        return pids

    def _markers(self, pid: int) -> list[Path]:
        return list(self._inside.glob(f"{pid}-*"))
