"""What the WSGI middleware makes of responses, without a server."""

from __future__ import annotations

import io
import os
import signal
import sys
from types import SimpleNamespace

import flask
import idemkey
import pytest
from flask import request
from idemkey import Outcome
from web import App, send, wrap

DEADLINE_S = 30


@pytest.fixture(autouse=True)
def watchdog():
    signal.alarm(DEADLINE_S)
    yield
    signal.alarm(0)


@pytest.mark.parametrize("status", ["500 Oops", "503 Later", "401 Who", "429 Slower"])
def test_a_response_that_decides_nothing_gives_the_key_back(store, status):
    app = App(status=status)
    wrapped = wrap(app, store)
    assert send(wrapped).status == send(wrapped).status == status
    assert app.claims == [(Outcome.CLAIMED, 1, False)] * 2


def test_a_refusal_by_the_application_is_kept(store):
    app = App(status="402 Payment Required")
    wrapped = wrap(app, store)
    assert send(wrapped).status == send(wrapped).status
    assert app.runs == 1


def broken_body():
    yield b"part"
    raise KeyError("late")


@pytest.mark.parametrize("failure", [KeyError("early"), broken_body()], ids=["early", "late"])
def test_an_exception_gives_the_key_back(store, failure):
    app = App(body=failure)
    wrapped = wrap(app, store)
    with pytest.raises(KeyError):
        send(wrapped)
    app.answer = App().answer
    assert send(wrapped).code == 201
    assert app.claims[-1] == (Outcome.CLAIMED, 1, False)
    assert app.closed == app.runs - (1 if isinstance(failure, KeyError) else 0)


@pytest.mark.parametrize("leaving", [SystemExit(1), KeyboardInterrupt()], ids=repr)
def test_a_process_exit_abandons_so_the_next_attempt_can_reconcile(store, leaving):
    app = App(body=leaving)
    wrapped = wrap(app, store)
    with pytest.raises(type(leaving)):
        send(wrapped)
    app.answer = App().answer
    assert send(wrapped).code == 201
    assert app.claims[-1] == (Outcome.RECLAIMED, 2, True)


def test_an_exit_is_held_when_asked(store):
    app = App(body=SystemExit(1))
    wrapped = wrap(app, store, on_crash="hold")
    with pytest.raises(SystemExit):
        send(wrapped)
    answer = send(wrapped)
    assert (answer.code, answer.problem) == (409, "Outcome unknown")
    assert app.runs == 1


def test_a_killed_worker_leaves_the_key_to_the_next_attempt(store):
    app = App()
    wrapped = wrap(app, store, wait=DEADLINE_S)  # a death may be noticed some milliseconds late
    pid = os.fork()
    if pid == 0:
        app.__class__.__call__ = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        try:
            send(wrapped)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert send(wrapped).code == 201
    assert app.claims[-1] == (Outcome.RECLAIMED, 2, True)


def test_the_response_is_recorded_before_its_first_byte_goes_out(store):
    wrapped = wrap(App(body=[b"a", b"b"]), store)
    seen = []

    def start_response(_status, _headers, _exc_info=None):
        seen.append(send(wrapped).replayed)
        return seen.append

    assert b"".join(begin(wrapped, start_response, b"{}")) == b"ab"
    assert seen == [True]


PARTS = [b"x" * 600, b"y" * 600, b"z" * 600]


@pytest.mark.parametrize("body", [PARTS, iter(PARTS)], ids=["list", "iterator"])
def test_a_response_above_the_limit_is_sent_and_not_run_again(store, body):
    app = App(body=body)
    wrapped = wrap(app, store, max_response=1000)
    first = send(wrapped)
    assert first.body == b"".join(PARTS)
    assert first.headers["Idempotency-Stored"] == "false"
    answer = send(wrapped)
    assert (answer.code, answer.problem) == (409, "Response not kept")
    assert (app.runs, app.closed) == (1, 1)


def test_a_response_of_the_limit_is_kept(store):
    app = App(body=iter(PARTS))
    wrapped = wrap(app, store, max_response=1800)
    assert send(wrapped).body == send(wrapped).body == b"".join(PARTS)
    assert app.runs == 1


def begin(wrapped, start_response, body=b""):
    """The iterable that a server gets for a request."""
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/payouts",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "HTTP_IDEMPOTENCY_KEY": "k-1",
    }
    return wrapped(environ, start_response)


def test_a_response_above_the_limit_is_sent_while_it_is_made(store):
    made = []

    def parts():
        for number in range(5):
            made.append(number)
            yield b"x" * 600

    wrapped = wrap(App(body=parts()), store, max_response=1000)
    body = iter(begin(wrapped, lambda *_: made.append("sent")))
    assert len(next(body)) == 600
    assert made == [0, 1, "sent"]
    assert send(wrapped, body=b"").problem == "Response not kept", "it is done before it goes out"
    assert len(b"".join(body)) == 2400


def test_a_response_above_the_limit_is_written_while_it_is_made(store):
    sent = []

    def app(_environ, start_response):
        write = start_response("201 Created", [])
        write(b"a" * 600)
        assert sent == []
        write(b"b" * 600)
        assert b"".join(sent) == b"a" * 600 + b"b" * 600
        write(b"c")
        return [b"d"]

    wrapped = wrap(app, store, max_response=1000)
    rest = begin(wrapped, lambda *_: sent.append)
    assert sent[-1] == b"c"
    assert list(rest) == [b"d"]
    assert send(wrapped, body=b"").problem == "Response not kept"


@pytest.mark.parametrize(
    ("failure", "outcome"), [(KeyError, Outcome.CLAIMED), (SystemExit, Outcome.RECLAIMED)]
)
def test_an_undecided_response_that_breaks_off_while_it_streams(store, failure, outcome):
    def broken():
        yield from PARTS
        raise failure

    app = App(status="500 Oops", body=broken())
    wrapped = wrap(app, store, max_response=1000)
    with pytest.raises(failure):
        send(wrapped)
    app.answer = App().answer
    assert send(wrapped).code == 201
    assert app.claims[-1][0] is outcome
    assert app.closed == 2


def test_an_undecided_response_that_the_client_leaves_is_abandoned(store):
    app = App(status="500 Oops", body=iter(PARTS))
    wrapped = wrap(app, store, max_response=1000)
    result = begin(wrapped, lambda *_: None)
    next(iter(result))
    result.close()
    app.answer = App().answer
    assert send(wrapped, body=b"").code == 201
    assert app.claims[-1] == (Outcome.RECLAIMED, 2, True)
    assert wrapped.engine.counts["ietf"]["ABANDONED"] == 1
    assert app.closed == 2


def test_a_response_above_what_the_store_takes_is_not_run_again(store):
    app = App(body=b"x" * (2 << 20))
    wrapped = wrap(app, store, max_response=4 << 20)
    first = send(wrapped)
    assert len(first.body) == 2 << 20
    assert first.headers["Idempotency-Stored"] == "false"
    assert send(wrapped).problem == "Response not kept"
    assert app.runs == 1


def test_a_response_that_cannot_be_recorded_is_delivered_and_its_key_stays_claimed(path):
    store = idemkey.Store(path)
    app = App()

    def closing(environ, start_response):
        store.close()
        return app(environ, start_response)

    wrapped = wrap(closing, store)
    answer = send(wrapped)
    assert (answer.code, answer.body) == (201, b"paid")
    assert answer.headers["Idempotency-Stored"] == "false"
    assert send(wrapped).problem == "Idempotency unavailable"
    with idemkey.Store(path) as other:
        assert send(wrap(app, other)).problem == "Request in flight"
        other.check()
    assert app.runs == 1


def test_a_response_whose_claim_was_taken_away_is_delivered_and_says_so(store):
    app = App()

    def forgetting(environ, start_response):
        (record,) = store.scan()
        store.forget(record.key, force=True)
        return app(environ, start_response)

    wrapped = wrap(forgetting, store)
    assert send(wrapped).headers["Idempotency-Stored"] == "false"
    assert wrapped.engine.counts["ietf"] == {"FIRST": 1, "LOST": 1}


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (("X", "a\r\nY: b"), ValueError),
        (("X", "a\n"), ValueError),
        (("X", "a\r"), ValueError),
        (("X\r\nY", "a"), ValueError),
        (("X Y", "a"), ValueError),
        (("", "a"), ValueError),
        (("X", "\u20ac"), ValueError),
        (("X", 7), TypeError),
        (("X", None), TypeError),
    ],
    ids=repr,
)
def test_a_header_that_cannot_be_sent_is_an_error_and_nothing_is_recorded(store, header, error):
    app = App(headers=[header])
    wrapped = wrap(app, store)
    for _ in range(2):
        with pytest.raises(error):
            send(wrapped)
    assert app.claims == [(Outcome.CLAIMED, 1, False)] * 2
    assert list(store.scan()) == []


@pytest.mark.parametrize("status", ["", "OK", "99 Low", "600 High", "102 Processing"])
def test_a_status_that_is_none_is_an_error_and_nothing_is_recorded(store, status):
    wrapped = wrap(App(status=status), store)
    with pytest.raises((ValueError, RuntimeError)):
        send(wrapped)
    assert list(store.scan()) == []


def test_a_status_without_a_name_is_replayed(store):
    wrapped = wrap(App(status="299 Own"), store)
    assert [send(wrapped).status for _ in range(2)] == ["299 Own", "299 Unknown"]


@pytest.mark.parametrize("said", ["yes", "no"])
def test_the_application_can_say_what_is_kept_and_nobody_sees_it(store, said):
    status = "500 Oops" if said == "yes" else "201 Created"
    app = App(status=status, headers=[("x-idemkey-KEEP", said), ("X", "a")])
    wrapped = wrap(app, store)
    first, second = send(wrapped), send(wrapped)
    assert first.pairs == [("Content-Type", "text/plain"), ("X", "a")]
    assert second.replayed == (said == "yes")
    assert app.runs == (1 if said == "yes" else 2)
    assert all("keep" not in name.lower() for name, _ in second.pairs)


def routing(environ, how):
    if how == "told":
        environ["idemkey.unrouted"] = True
    elif how == "flask":
        environ["werkzeug.request"] = SimpleNamespace(routing_exception=KeyError())
    elif how == "flask-handled":
        environ["werkzeug.request"] = SimpleNamespace(routing_exception=None)


@pytest.mark.parametrize(
    ("how", "runs"), [("told", 2), ("flask", 2), ("flask-handled", 1), ("not told", 1)]
)
def test_a_404_from_routing_decides_nothing(store, how, runs):
    app = App(status="404 Not Found")

    def site(environ, start_response):
        routing(environ, how)
        return app(environ, start_response)

    wrapped = wrap(site, store)
    send(wrapped), send(wrapped)
    assert app.runs == runs


def test_flask_says_that_it_has_not_found_a_route(store):
    site = flask.Flask(__name__)
    runs = []

    @site.post("/items")
    def items():
        runs.append(request.environ["idemkey.claim"].attempt)
        flask.abort(404)

    site.wsgi_app = wrapped = wrap(site.wsgi_app, store)
    for path in ("/items", "/items", "/nowhere", "/nowhere"):
        answer = site.test_client().post(path, headers={"Idempotency-Key": path[1:]})
        assert answer.status_code == 404
    assert runs == [1]
    counts = wrapped.engine.counts["ietf"]
    assert counts == {"FIRST": 3, "RECORDED": 1, "KEPT": 1, "RELEASED": 2}


def test_close_is_called_once_per_run(store):
    app = App()
    wrapped = wrap(app, store)
    send(wrapped), send(wrapped)
    assert app.closed == 1


def test_what_is_written_comes_before_what_is_returned(store):
    def app(_environ, start_response):
        write = start_response("201 Created", [])
        write(b"one ")
        write(b"two ")
        return [b"three"]

    wrapped = wrap(app, store)
    assert send(wrapped).body == send(wrapped).body == b"one two three"


def error_page_after(parts):
    def app(_environ, start_response):
        start_response("201 Created", [])
        yield from parts
        try:
            raise KeyError("inside")
        except KeyError:
            start_response("500 Oops", [], sys.exc_info())
            yield b"sorry"

    return app


def test_an_error_page_may_replace_a_response_without_body(store):
    answer = send(wrap(error_page_after([b""]), store))
    assert (answer.status, answer.body) == ("500 Oops", b"sorry")


def test_an_error_page_cannot_replace_a_response_with_body(store):
    with pytest.raises(KeyError, match="inside"):
        send(wrap(error_page_after([b"part"]), store))


def test_an_application_without_start_response_is_an_error_and_gives_the_key_back(store):
    wrapped = wrap(lambda *_: [b"x"], store)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="start_response"):
            send(wrapped)
