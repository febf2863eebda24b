"""Processes that create entities for the same references, and die at it."""

import os
import random
import signal
import sqlite3

import idemkey
import pytest
from children import DEADLINE_S, eventually
from idemkey.references import NEXTAPI_V1, DuplicateReferenceError, References

WORKERS = 4
ORDERS = 150
DEATH_RATE = 0.1
ACCOUNT = "acc_1"
PAYOUT = NEXTAPI_V1.ids["payout"]


@pytest.fixture
def payouts(store):
    return References(store, namespace="payout", rules=NEXTAPI_V1, wait=2 * DEADLINE_S)


@pytest.fixture
def database(tmp_path):
    """``database()`` opens the entities' table, in each process anew."""

    def connect():
        return sqlite3.connect(tmp_path / "entities.db", timeout=DEADLINE_S, isolation_level=None)

    connection = connect()
    connection.execute(
        "CREATE TABLE payouts (id TEXT PRIMARY KEY, reference TEXT, attempt INTEGER)"
    )
    connection.close()
    return connect


def test_each_reference_gets_one_entity_though_processes_die(payouts, database, fork, rng):
    def worker(seed):
        def work(say):
            here = random.Random(seed)
            table = database()

            def may_die():
                if here.random() < DEATH_RATE:
                    os.kill(os.getpid(), signal.SIGKILL)

            for number in here.sample(range(ORDERS), ORDERS):
                reference = f"ORDER-{number}"

                def create(attempt, reference=reference):
                    may_die()
                    # The id of the first attempt: one that was created then is not created again.
                    row = (attempt.intent.decode(), reference, attempt.number)
                    table.execute("INSERT OR IGNORE INTO payouts VALUES (?, ?, ?)", row)
                    may_die()
                    return row[0]

                intent = PAYOUT.new().encode()
                try:
                    payouts.create_or_error(reference, create, scope=ACCOUNT, intent=intent)
                except DuplicateReferenceError as error:
                    where = "SELECT count(*) FROM payouts WHERE id = ? AND reference = ?"
                    found = table.execute(where, (error.existing_id, reference)).fetchone()
                    assert found == (1,), "a duplicate names an entity that is not there"

        return work

    workers = [fork(worker(rng.random())) for _ in range(WORKERS)]
    deaths = 0
    while workers:
        status = workers.pop().wait()
        assert status in (0, -signal.SIGKILL)
        if status:
            deaths += 1
            workers.append(fork(worker(rng.random())))

    table = database()
    rows = table.execute("SELECT id, reference, attempt FROM payouts").fetchall()
    table.close()
    orders = [f"ORDER-{number}" for number in range(ORDERS)]
    assert sorted(reference for _, reference, _ in rows) == sorted(orders)
    assert payouts.get_many(orders, scope=ACCOUNT) == {
        row[1]: row[0] for row in sorted(rows, key=lambda row: orders.index(row[1]))
    }
    assert deaths and any(attempt > 1 for _, _, attempt in rows)


def test_a_race_has_one_winner(payouts, fork):
    def racer(say):
        for number in range(ORDERS):
            reference = f"ORDER-{number}"
            made = payouts.create_or_get(reference, lambda attempt: PAYOUT.new(), scope=ACCOUNT)
            say([reference, *made])

    racers = [fork(racer) for _ in range(WORKERS)]
    told = [child.hear() for child in racers for _ in range(ORDERS)]
    for child in racers:
        child.join()
    assert sorted(reference for reference, _, created in told if created) == sorted(
        {reference for reference, _, _ in told}
    )
    assert len({(reference, entity) for reference, entity, _ in told}) == ORDERS


@pytest.mark.parametrize("on_crash", ["reclaim", "hold"])
def test_a_creator_is_killed(store, fork, on_crash):
    payouts = References(store, namespace="payout", rules=NEXTAPI_V1, on_crash=on_crash)

    def work(say):
        def create(attempt):
            say(attempt.number)
            while True:
                signal.pause()

        payouts.create_or_get("ORDER-1", create, scope=ACCOUNT, intent=b"payout_a")

    child = fork(work)
    assert child.hear() == 1
    with pytest.raises(idemkey.BusyError):
        payouts.create_or_get("ORDER-1", lambda attempt: "payout_b", scope=ACCOUNT)
    child.kill()

    told = []

    def create(attempt):
        told.append((attempt.number, attempt.intent))
        return attempt.intent.decode()

    def taken_over():
        try:
            return payouts.create_or_get("ORDER-1", create, scope=ACCOUNT)
        except idemkey.BusyError:
            return None
        except idemkey.HeldError as error:
            return error

    answer = eventually(taken_over)
    if on_crash == "hold":
        assert isinstance(answer, idemkey.HeldError) and told == []
        assert answer.claim.intent == b"payout_a"
        store.resolve(payouts.key("ORDER-1", scope=ACCOUNT), None)
        assert payouts.create_or_error("ORDER-1", lambda _: "payout_b", scope=ACCOUNT) == "payout_b"
    else:
        assert answer == ("payout_a", True) and told == [(2, b"payout_a")]
