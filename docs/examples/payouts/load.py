"""The load: every operation sent several times, at once and again after lost connections."""

from __future__ import annotations

import http.client
import random
import threading
import time
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from client import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from client import Answer

THREADS = 16
MAX_COPIES = 8
# Operations whose copies are shuffled together: few, so that copies meet in time.
WINDOW = 6
MISMATCHING_SHARE = 0.1
HANG_UP_SHARE = 0.08
# Seconds until an impatient client hangs up: before, while and after the handler runs.
HANG_UP_AFTER_S = (0.0005, 0.008)
RETRY_PAUSE_S = 0.01
RETRY_STATUSES = (409, 503)
# When a copy is sent again that met the first one running; its client goes on with others.
RETRY_LATER_S = 0.3
MISMATCH_STATUS = 422
MAX_AMOUNT_CENTS = 100_000


@dataclass
class Operation:
    """One payout that a client wants once."""

    key: str
    amount_cents: int
    mismatching: bool
    answers: list[Answer] = field(default_factory=list)


class Load:
    """Sends at least ``count`` operations, and more until ``enough()``; all by the deadline."""

    def __init__(
        self, socket_path: str, seed: int, count: int, enough: Callable[[], bool], deadline: float
    ) -> None:
        self.operations: list[Operation] = []
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []
        self._socket_path = socket_path
        self._seed = seed
        self._count = count
        self._enough = enough
        self._deadline = deadline
        self._lock = threading.Lock()
        self._later: deque[tuple[float, Operation]] = deque()
        self._copies = self._make_copies(random.Random(seed))
        self._threads = [
            threading.Thread(target=self._send_copies, args=(number,), daemon=True)
            for number in range(THREADS)
        ]

    def start(self) -> None:
        """Start sending."""
        for thread in self._threads:
            thread.start()

    def is_running(self) -> bool:
        """Tell whether a client thread is still at work."""
        return any(thread.is_alive() for thread in self._threads)

    def _make_copies(self, rng: random.Random) -> Iterator[Operation]:
        while len(self.operations) < self._count or not self._enough():
            left = max(1, self._count - len(self.operations))
            window = [self._make_operation(rng) for _ in range(min(WINDOW, left))]
            self.operations += window
            copies = [op for op in window for _ in range(rng.randint(1, MAX_COPIES))]
            rng.shuffle(copies)
            yield from copies

    def _make_operation(self, rng: random.Random) -> Operation:
        return Operation(
            key=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            amount_cents=rng.randint(1, MAX_AMOUNT_CENTS),
            mismatching=rng.random() < MISMATCHING_SHARE,
        )

    def _send_copies(self, number: int) -> None:
        rng = random.Random(f"{self._seed}/{number}")
        connection = Connection(self._socket_path)
        try:
            while time.monotonic() < self._deadline:
                with self._lock:
                    operation = self._next_copy()
                    if operation is None and not self._later:
                        break
                if operation is None:
                    time.sleep(RETRY_PAUSE_S)
                else:
                    self._send_copy(connection, operation, rng)
        except Exception as error:  # reported at the end; the others go on
            self.errors.append(f"client {number}: {error!r}")
        finally:
            connection.close()

    def _next_copy(self) -> Operation | None:
        if self._later and self._later[0][0] <= time.monotonic():
            return self._later.popleft()[1]
        return next(self._copies, None)

    def _send_copy(self, connection: Connection, operation: Operation, rng: random.Random) -> None:
        answer = self._send_until_answered(connection, operation.key, operation.amount_cents, rng)
        if answer is None:
            return
        if answer.status in RETRY_STATUSES:
            self._note("told_to_retry")
            with self._lock:
                self._later.append((time.monotonic() + RETRY_LATER_S, operation))
            return
        with self._lock:
            operation.answers.append(answer)
            self.counts["answers"] += 1
            send_other, operation.mismatching = operation.mismatching, False
        if send_other:
            other_cents = operation.amount_cents + 1
            other = self._send_until_answered(connection, operation.key, other_cents, rng)
            refused = other is not None and other.status == MISMATCH_STATUS
            self._note("mismatches" if refused else "mismatches_wrong")

    def _send_until_answered(
        self, connection: Connection, key: str, amount_cents: int, rng: random.Random
    ) -> Answer | None:
        while time.monotonic() < self._deadline:
            hang_up = rng.random() < HANG_UP_SHARE
            patience_s = rng.uniform(*HANG_UP_AFTER_S) if hang_up else None
            self._note("requests")
            try:
                answer = connection.post_payout(key, amount_cents, patience_s)
            except (OSError, http.client.HTTPException):
                self._note("hung_up" if hang_up else "connections_lost")
            else:
                return answer
            time.sleep(RETRY_PAUSE_S)
        return None

    def _note(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1
