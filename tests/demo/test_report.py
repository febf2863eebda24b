"""The judgement of the payouts demo: each thing that must not happen is seen when it does."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
from client import Answer
from idemkey import Outcome
from ledger import Payout
from load import Operation
from observe import Event
from report import faults, judge, table

KEY, AMOUNT_CENTS = "k-1", 1250
INSPECTED = {"keys": 1, "keys_unfinished": 0, "bytes_per_key": 200, "check": "OK"}


def answer(payout_id=1, status=201, attempt=1):
    body = {"payout_id": payout_id, "attempt": attempt, "found_in_ledger": False}
    return Answer(status, replayed=False, body=body)


def judged(payouts, answers, inspected=(), **counts):
    load = SimpleNamespace(
        operations=[Operation(KEY, AMOUNT_CENTS, mismatching=False, answers=answers)],
        counts=Counter(counts),
        errors=[],
    )
    chaos = SimpleNamespace(killed=1, answers_while_stopped=7, error=None)
    events = [Event(Outcome.CLAIMED, False, 2000), Event(Outcome.DONE, True, 1000)]
    return {**judge(load, chaos, payouts, events), **INSPECTED, **dict(inspected)}


PAID = Payout(1, KEY, AMOUNT_CENTS, 1)


def test_a_good_run_has_no_faults():
    figures = judged([PAID], [answer(), answer()])
    assert faults(figures) == []
    assert (figures["executed"], figures["claim_us"], figures["replay_us"]) == (1, 2.0, None)
    assert "executed twice                   0" in table(figures)


@pytest.mark.parametrize(
    ("payouts", "answers", "fault"),
    [
        ([PAID, PAID._replace(id=2)], [answer()], "executed_twice is 1"),
        ([], [answer()], "lost is 1"),
        ([PAID], [], "lost is 1"),
        ([PAID], [answer(), answer(payout_id=2)], "wrong_answers is 1"),
        ([PAID], [answer(status=200)], "wrong_answers is 1"),
        ([PAID._replace(amount_cents=1)], [answer()], "wrong_answers is 1"),
    ],
    ids=["twice", "no-row", "no-answer", "two-answers", "status", "amount"],
)
def test_a_fault_is_named(payouts, answers, fault):
    assert any(fault in found for found in faults(judged(payouts, answers)))


@pytest.mark.parametrize(
    ("inspected", "fault"),
    [({"check": "broken"}, "check: broken"), ({"keys_unfinished": 1}, "keys_unfinished is 1")],
    ids=["check", "unfinished"],
)
def test_a_fault_of_the_region_is_named(inspected, fault):
    assert any(fault in found for found in faults(judged([PAID], [answer()], inspected)))


def test_a_wrong_answer_to_a_mismatch_is_a_fault():
    assert faults(judged([PAID], [answer()], mismatches_wrong=1))


def test_recoveries_are_counted():
    figures = judged([PAID], [answer(attempt=2)])
    assert (figures["recovered"], figures["recovered_found_paid"]) == (1, 0)
