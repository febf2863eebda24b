"""The side effect: an SQLite ledger with one row for each payout that was made.

Nothing but the row number is unique in it, so a payout that is executed twice shows as two rows.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import NamedTuple

# A stopped worker may hold SQLite's lock, which blocks the others as long as it is stopped.
LOCK_TIMEOUT_S = 20.0

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS payouts (
        id INTEGER PRIMARY KEY, operation TEXT, amount_cents INTEGER, attempt INTEGER
    );
    CREATE INDEX IF NOT EXISTS by_operation ON payouts (operation);
"""


class Payout(NamedTuple):
    """One row: what was paid, and by which attempt at the operation."""

    id: int
    operation: str
    amount_cents: int
    attempt: int


class Ledger:
    """The ledger at ``path``; each call uses a connection of its own, so any thread may call."""

    def __init__(self, path: str) -> None:
        self._path = path
        with closing(self._connect()) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(_SCHEMA)

    def pay(self, operation: str, amount_cents: int, attempt: int) -> int:
        """Execute a payout; once this returns it has happened. Returns the payout's id."""
        row = (operation, amount_cents, attempt)
        with closing(self._connect()) as db, db:
            insert = "INSERT INTO payouts (operation, amount_cents, attempt) VALUES (?, ?, ?)"
            return int(db.execute(insert, row).lastrowid or 0)

    def find(self, operation: str) -> Payout | None:
        """Return the operation's first payout, or None if it was not executed."""
        with closing(self._connect()) as db:
            query = "SELECT id, operation, amount_cents, attempt FROM payouts WHERE operation = ?"
            row = db.execute(query + " ORDER BY id", (operation,)).fetchone()
        return Payout(*row) if row else None

    def all(self) -> list[Payout]:
        """Return every payout that was executed."""
        with closing(self._connect()) as db:
            return [
                Payout(*row)
                for row in db.execute("SELECT id, operation, amount_cents, attempt FROM payouts")
            ]

    def count(self) -> int:
        """Return how many payouts were executed."""
        with closing(self._connect()) as db:
            return int(db.execute("SELECT count(*) FROM payouts").fetchone()[0])

    def is_locked(self) -> bool:
        """Tell whether some process is in the middle of writing."""
        try:
            with closing(self._connect(timeout_s=0.0)) as db:
                db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False

    def kept_open(self) -> closing[sqlite3.Connection]:
        """Stay connected while the block runs: SQLite locks everyone out to close the last one."""
        return closing(self._connect())

    def _connect(self, timeout_s: float = LOCK_TIMEOUT_S) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=timeout_s)
        # The demo kills processes, not the machine.
        db.execute("PRAGMA synchronous = OFF")
        return db
