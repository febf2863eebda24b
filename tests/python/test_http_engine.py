"""The engine from Python: one request after the other, in pieces, in order and out of it."""

from __future__ import annotations

import threading

import idemkey
import pytest
from idemkey import Outcome
from idemkey.http import Action, Engine, Reason

FIELDS = "idempotency-key: k-1\r\n"
HEAD = "Content-Type: text/plain\r\nX: 1\r\nX: 2\r\n"


@pytest.fixture
def engine(store):
    return Engine(store, principal=None, max_request=10, max_response=10)


def begin(engine, fields=FIELDS, method="POST", path="/a", query=""):
    return engine.begin(method, path, query, fields)


def run(engine, body=b"body", fields=FIELDS):
    """An exchange whose application is to run."""
    exchange = begin(engine, fields)
    assert exchange.decide(body) is Action.RUN
    return exchange


def again(engine, body=b"body"):
    """What a request gets that comes again."""
    exchange = begin(engine)
    exchange.decide(body)
    return exchange


def test_a_response_in_one_piece(engine):
    exchange = run(engine)
    assert (exchange.outcome, exchange.attempt, exchange.won) == (Outcome.CLAIMED, 1, True)
    assert (exchange.reason, exchange.reconcile, exchange.expires_in) == (
        Reason.FIRST,
        False,
        86400,
    )
    assert len(exchange.id) == 16
    assert exchange.respond(201, HEAD, b"done") is Action.SEND
    assert (exchange.reason, exchange.fields, exchange.strip) == (Reason.KEPT, "", False)
    replay = again(engine)
    assert (replay.action, replay.reason) == (Action.REPLAY, Reason.RECORDED)
    assert (replay.status, replay.body, replay.won) == (201, b"done", False)
    assert replay.fields == HEAD + "Content-Length: 4\r\nCache-Control: no-store\r\n"
    assert replay.id == exchange.id


def test_request_and_response_in_pieces(engine):
    exchange = begin(engine)
    for piece in (b"bo", b"", b"dy"):
        assert exchange.feed(piece) is Action.NEED_BODY
    assert exchange.decide() is Action.RUN
    assert exchange.response(200, HEAD) is Action.BUFFER
    assert exchange.data(b"do") is Action.BUFFER
    assert exchange.data(b"ne") is Action.BUFFER
    assert again(engine).reason is Reason.IN_FLIGHT
    assert exchange.finish() is Action.SEND
    assert again(engine).body == b"done"


def test_a_response_too_large_to_keep(engine):
    exchange = run(engine)
    exchange.response(200, HEAD)
    assert exchange.data(b"0123456789") is Action.BUFFER
    assert exchange.data(b"0") is Action.STREAM
    assert (exchange.reason, exchange.fields) == (
        Reason.KEPT_WITHOUT,
        "Idempotency-Stored: false\r\n",
    )
    assert again(engine).reason is Reason.NOT_KEPT
    assert exchange.data(b"more") is Action.STREAM
    assert exchange.finish() is Action.SEND
    whole = run(engine, fields="idempotency-key: other\r\n")
    assert whole.respond(200, HEAD, b"01234567890") is Action.SEND
    assert whole.reason is Reason.KEPT_WITHOUT


@pytest.mark.parametrize("pieces", [[b"0123456789", b"0"], [b"01234567890"]])
def test_a_request_too_large(engine, pieces):
    exchange = begin(engine)
    assert [exchange.feed(piece) for piece in pieces][-1] is Action.REJECT
    assert (exchange.status, exchange.reason) == (413, Reason.TOO_LARGE)
    assert begin(engine).decide(b"01234567890") is Action.REJECT


def test_what_does_not_apply_is_passed(engine):
    for exchange, reason in (
        (begin(engine, method="GET"), Reason.NOT_APPLICABLE),
        (begin(engine, ""), Reason.NO_KEY),
    ):
        assert (exchange.action, exchange.reason) == (Action.PASS, reason)
        assert (exchange.outcome, exchange.id, exchange.attempt) == (None, "", 0)
        assert (exchange.fields, exchange.body) == ("", b"")


@pytest.mark.parametrize(
    ("failure", "outcome", "attempt"),
    [(KeyError(), Outcome.CLAIMED, 1), (SystemExit(), Outcome.RECLAIMED, 2)],
    ids=["exception", "exit"],
)
def test_an_exception_releases_and_anything_else_abandons(engine, failure, outcome, attempt):
    run(engine).abort(failure)
    exchange = run(engine)
    assert (exchange.outcome, exchange.attempt) == (outcome, attempt)
    assert exchange.reconcile == (outcome is Outcome.RECLAIMED)
    exchange.respond(200, "", b"")


@pytest.mark.parametrize("how", ["close", "drop"])
def test_leaving_abandons(engine, how):
    exchange = run(engine)
    if how == "close":
        exchange.close()
    del exchange
    assert run(engine).reconcile
    assert engine.counts["ietf"] == {"FIRST": 1, "AGAIN": 1, "ABANDONED": 2}


def test_after_the_end_nothing_is_due_and_nothing_is_lost(engine):
    exchange = run(engine)
    exchange.respond(201, HEAD, b"done")
    exchange.abort(SystemExit())
    exchange.close()
    exchange.close()
    assert (exchange.fields, exchange.body, exchange.attempt) == ("", b"", 1)
    for call in (
        lambda: exchange.decide(b""),
        lambda: exchange.feed(b""),
        lambda: exchange.wait(),
        lambda: exchange.response(200, ""),
        lambda: exchange.data(b""),
        lambda: exchange.finish(),
        lambda: exchange.respond(200, "", b""),
    ):
        with pytest.raises(ValueError, match="not due"):
            call()
    assert again(engine).body == b"done"


def test_a_call_that_is_not_due_changes_nothing(engine):
    exchange = begin(engine)
    for call in (lambda: exchange.finish(), lambda: exchange.wait(), lambda: exchange.data(b"x")):
        with pytest.raises(ValueError, match="not due"):
            call()
    assert exchange.decide(b"body") is Action.RUN
    with pytest.raises(ValueError, match="malformed header"):
        exchange.respond(200, "X: a\n", b"")
    with pytest.raises(ValueError, match="200 to 599"):
        exchange.respond(199, "", b"")
    assert exchange.respond(200, "", b"done") is Action.SEND
    assert again(engine).body == b"done"


def test_arguments_of_the_wrong_type_are_told(engine):
    with pytest.raises(TypeError):
        engine.begin(b"POST", "/a", "", "")
    exchange = begin(engine)
    with pytest.raises(TypeError):
        exchange.decide("body")
    with pytest.raises(TypeError, match="timeout must be a number"):
        exchange.wait("soon")
    with pytest.raises(ValueError, match="timeout is -1"):
        exchange.wait(-1)


def test_structs_that_are_used_again_are_as_new(engine):
    for number in range(200):
        key = f"idempotency-key: {number}\r\n"
        exchange = run(engine, fields=key)
        assert (exchange.reason, exchange.attempt) == (Reason.FIRST, 1)
        if number % 3 == 0:
            exchange.abort(KeyError())
        elif number % 3 == 1:
            exchange.respond(200, "", b"%d" % number)


def test_a_duplicate_waits_for_the_response(store):
    engine = Engine(store, principal=None, wait=60)
    first = run(engine)
    second = begin(engine)
    assert second.decide(b"body") is Action.WAIT
    assert 50 < second.retry_after <= 60
    assert second.wait(0) is Action.WAIT
    assert second.decide() is Action.WAIT
    threading.Timer(0.05, lambda: first.respond(201, "", b"done")).start()
    assert second.wait() is Action.REPLAY
    assert second.body == b"done"
    counts = engine.counts["ietf"]
    assert counts == {"FIRST": 1, "IN_FLIGHT": 1, "RECORDED": 1, "KEPT": 1}


def test_a_wait_ends_when_the_profile_says(store):
    engine = Engine(store, principal=None, wait=0.2)
    first = run(engine)
    second = begin(engine)
    assert second.decide(b"body") is Action.WAIT
    assert second.wait() is Action.REJECT
    assert (second.status, second.reason, second.retry_after) == (409, Reason.IN_FLIGHT, 1.0)
    first.respond(200, "", b"")


def test_a_waiter_takes_over_what_was_given_back(store):
    engine = Engine(store, principal=None, wait=60)
    first = run(engine)
    second = begin(engine)
    assert second.decide(b"body") is Action.WAIT
    first.abort(KeyError())
    assert second.wait() is Action.RUN
    second.respond(200, "", b"")


def test_threads_share_an_engine(store):
    engine = Engine(store, principal=None, wait=60)
    runs, bodies = [], []

    def request():
        for number in range(20):
            exchange = begin(engine, f"idempotency-key: t-{number}\r\n")
            action = exchange.decide(b"body")
            if action is Action.WAIT:
                action = exchange.wait()
            if action is Action.RUN:
                runs.append(number)
                exchange.respond(201, "", b"%d" % number)
            else:
                bodies.append((number, exchange.body))

    threads = [threading.Thread(target=request) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(runs) == list(range(20))
    assert len(bodies) == 7 * 20
    assert all(body == b"%d" % number for number, body in bodies)
    counts = engine.counts["ietf"]
    assert (counts["FIRST"], counts["RECORDED"], counts["KEPT"]) == (20, 140, 20)


def test_a_child_leaves_its_parents_claim_alone(engine, fork):
    exchange = run(engine)

    def child(say):
        exchange.abort(SystemExit())
        exchange.close()
        say([again(engine).reason.name, engine.counts["ietf"].get("ABANDONED", 0)])

    process = fork(child)
    assert process.hear() == ["IN_FLIGHT", 0]
    process.join()
    assert exchange.respond(201, "", b"done") is Action.SEND
    assert exchange.reason is Reason.KEPT


def test_a_dead_owners_request_runs_again(path, fork):
    engine = Engine(idemkey.Store(path), principal=None, wait=60)

    def child(say):
        kept.append(run(engine))
        say()
        threading.Event().wait()

    kept = []
    process = fork(child)
    process.hear()
    process.kill()
    exchange = begin(engine)
    action = exchange.decide(b"body")
    if action is Action.WAIT:  # a death may be noticed some milliseconds late
        action = exchange.wait()
    assert (action, exchange.reason, exchange.attempt) == (Action.RUN, Reason.AGAIN, 2)
    exchange.respond(200, "", b"")


def test_a_held_key_waits_for_a_person(store):
    engine = Engine(store, principal=None, on_crash="hold")
    run(engine).close()
    exchange = again(engine)
    assert (exchange.status, exchange.reason) == (409, Reason.UNKNOWN)
    (record,) = store.scan()
    assert (record.id, record.held, record.intent) == (exchange.id, True, b"POST /a\r\nk-1")
    store.resolve(record.key, None)
    run(engine).respond(200, "", b"")
