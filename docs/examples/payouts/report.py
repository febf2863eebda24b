"""Judges a run: what the clients were told, against what the ledger says."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import TYPE_CHECKING, Any

from idemkey import Outcome

if TYPE_CHECKING:
    from chaos import Chaos
    from ledger import Payout
    from load import Load, Operation
    from observe import Event

Figures = dict[str, Any]

NS_PER_US = 1000
HTTP_CREATED = 201
NO_PAYOUT = 0  # SQLite numbers rows from 1
LABEL_CHARS = 24
FIGURE_CHARS = 10


def judge(load: Load, chaos: Chaos, payouts: list[Payout], events: list[Event]) -> Figures:
    """Return the figures of a run."""
    rows = Counter(payout.operation for payout in payouts)
    by_id = {payout.id: payout for payout in payouts}
    answered = [operation for operation in load.operations if operation.answers]
    outcomes = Counter(event.outcome for event in events)
    recovered = [
        body for body in (op.answers[0].body for op in answered) if body.get("attempt", 1) > 1
    ]
    return {
        "operations": len(load.operations),
        "requests": load.counts["requests"],
        "connections_hung_up": load.counts["hung_up"],
        "connections_lost": load.counts["connections_lost"],
        "told_to_retry": load.counts["told_to_retry"],
        "executed": len(payouts),
        "executed_twice": sum(count > 1 for count in rows.values()),
        "lost": sum(not op.answers or op.key not in rows for op in load.operations),
        "wrong_answers": sum(_is_wrong(op, by_id) for op in answered),
        "replayed": outcomes[Outcome.DONE],
        "waited": sum(event.waited for event in events),
        "recovered": len(recovered),
        "recovered_found_paid": sum(body["found_in_ledger"] for body in recovered),
        "mismatches": load.counts["mismatches"],
        "mismatches_wrong": load.counts["mismatches_wrong"],
        "workers_killed": chaos.killed,
        "workers_stopped": int(chaos.answers_while_stopped is not None),
        "answers_while_stopped": chaos.answers_while_stopped,
        "claim_us": _median_us(events, Outcome.CLAIMED),
        "replay_us": _median_us(events, Outcome.DONE),
        "errors": load.errors + ([repr(chaos.error)] if chaos.error else []),
    }


def faults(figures: Figures) -> list[str]:
    """Return what a run must not have shown; empty if all went well."""
    must_be_zero = (
        "executed_twice",
        "lost",
        "wrong_answers",
        "mismatches_wrong",
        "keys_unfinished",
    )
    found = [f"{name} is {figures[name]}, not 0" for name in must_be_zero if figures[name]]
    if figures["check"] != "OK":
        found.append(f"check: {figures['check']}")
    return [*found, *figures["errors"]]


def table(figures: Figures) -> str:
    """Return the figures for a person to read."""
    f = figures
    paid_again = f["recovered"] - f["recovered_found_paid"]
    lines = [
        ("operations", f["operations"], "payouts wanted, each sent 1 to 8 times"),
        ("requests", f["requests"], f"{f['connections_hung_up']} hung up by the client"),
        ("executed", f["executed"], "rows in the ledger"),
        ("replayed", f["replayed"], "answered from the store"),
        ("waited", f["waited"], "met the first request still running"),
        ("workers killed", f["workers_killed"], "SIGKILL inside a request"),
        (
            "recovered after a kill",
            f["recovered"],
            f"{f['recovered_found_paid']} had been paid, {paid_again} had not",
        ),
        (
            "worker stopped",
            f["workers_stopped"],
            f"{f['answers_while_stopped']} answers from the others meanwhile",
        ),
        ("mismatches answered", f["mismatches"], "422: the key belongs to another request"),
        ("executed twice", f["executed_twice"], ""),
        ("lost", f["lost"], ""),
        (
            "time to a claim",
            f"{f['claim_us']} us",
            "median, since a request's arrival",
        ),
        (
            "time to a replay",
            f"{f['replay_us']} us",
            "median, since a request's arrival",
        ),
        ("bytes per key", f["bytes_per_key"], "key, fingerprint, response, index"),
        ("check", f["check"], ""),
    ]
    return "\n".join(
        f"  {label:<{LABEL_CHARS}}{_text(figure):>{FIGURE_CHARS}}   {note}".rstrip()
        for label, figure, note in lines
    )


def _is_wrong(operation: Operation, by_id: dict[int, Payout]) -> bool:
    """Tell if a client was told anything but the one payout in the ledger."""
    for answer in operation.answers:
        payout = by_id.get(answer.body.get("payout_id", NO_PAYOUT))
        wanted = (operation.key, operation.amount_cents)
        if answer.status != HTTP_CREATED or payout is None or payout[1:3] != wanted:
            return True
    return len({answer.body["payout_id"] for answer in operation.answers}) > 1


def _median_us(events: list[Event], outcome: Outcome) -> float | None:
    times_ns = [event.took_ns for event in events if event.outcome is outcome and not event.waited]
    return round(statistics.median(times_ns) / NS_PER_US, 1) if times_ns else None


def _text(figure: int | float | str) -> str:
    return f"{figure:,}" if isinstance(figure, int) else str(figure)
