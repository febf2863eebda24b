"""The rules of the middleware, one by one, without a server."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading

import idemkey
import pytest
from idemkey import Outcome
from idemkey.wsgi import IdempotencyMiddleware

DEADLINE_S = 30


@pytest.fixture(autouse=True)
def watchdog():
    signal.alarm(DEADLINE_S)
    yield
    signal.alarm(0)


@pytest.fixture
def store(tmp_path):
    store = idemkey.Store(str(tmp_path / "region.idem"), max_bytes=16 << 20)
    yield store
    store.check()
    store.close()


class App:
    """Answers what the test says, and counts how often it is run."""

    def __init__(self, body=b"paid", status="201 Created", headers=()):
        self.runs = 0
        self.closed = 0
        self.claims = []
        self.bodies = []
        self.answer = (status, [("Content-Type", "text/plain"), *headers], body)

    def __call__(self, environ, start_response):
        self.runs += 1
        self.claims.append(environ.get("idemkey.claim"))
        self.bodies.append(environ["wsgi.input"].read())
        status, headers, body = self.answer
        if isinstance(body, BaseException):
            raise body
        start_response(status, list(headers))
        return Body(self, [body] if isinstance(body, bytes) else body)


class Body:
    def __init__(self, app, parts):
        self.app, self.parts = app, parts

    def __iter__(self):
        return iter(self.parts)

    def close(self):
        self.app.closed += 1


class Answer:
    def __init__(self, status, headers, body):
        self.code = int(status.split()[0])
        self.status, self.headers, self.body = status, dict(headers), body

    @property
    def problem(self):
        assert self.headers["Content-Type"] == "application/problem+json"
        problem = json.loads(self.body)
        assert problem["status"] == self.code
        return problem["title"]


def send(app, key="k-1", body=b"{}", method="POST", path="/payouts", query="", **environ):
    """One request as a server would make it; reads the whole answer and closes it."""
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **environ,
    }
    if key is not None:
        environ["HTTP_IDEMPOTENCY_KEY"] = key
    sent = []

    def start_response(status, headers, _exc_info=None):
        sent[:] = [status, headers]
        return sent.append

    result = app(environ, start_response)
    try:
        data = b"".join(result)
    finally:
        if hasattr(result, "close"):
            result.close()
    return Answer(sent[0], sent[1], data)


def wrap(app, store, principal=None, **options):
    return IdempotencyMiddleware(app, store, principal=principal, **options)


def test_a_duplicate_is_replayed_with_status_headers_and_body(store):
    app = App(headers=[("Location", "/payouts/7")])
    wrapped = wrap(app, store)
    first, second = send(wrapped), send(wrapped)
    assert app.runs == 1
    assert (first.status, first.body) == (second.status, second.body) == ("201 Created", b"paid")
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers == {**first.headers, "Idempotent-Replayed": "true"}


def test_headers_of_one_connection_or_moment_are_not_replayed(store):
    dropped = ["Set-Cookie", "Date", "Connection", "Transfer-Encoding", "WWW-Authenticate"]
    wrapped = wrap(App(headers=[(name, "x") for name in dropped]), store)
    assert set(dropped) <= set(send(wrapped).headers)
    assert not set(dropped) & set(send(wrapped).headers)


@pytest.mark.parametrize("request_", [{"key": None}, {"method": "GET"}, {"method": "HEAD"}])
def test_without_a_key_or_with_a_safe_method_the_application_is_untouched(store, request_):
    app = App()
    wrapped = wrap(app, store)
    send(wrapped, **request_), send(wrapped, **request_)
    assert app.runs == 2
    assert app.claims == [None, None]


def test_methods_and_header_can_be_chosen(store):
    app = App()
    wrapped = wrap(app, store, header="X-Key", methods=("get",))
    for _ in range(2):
        send(wrapped, key=None, method="GET", HTTP_X_KEY="a")
    assert app.runs == 1
    send(wrapped, key=None, method="POST", HTTP_X_KEY="a")
    assert app.runs == 2


@pytest.mark.parametrize(
    "key", ["", " ", "a b", "a\tb", "a\x00", "a\x7f", "ké", "a,b", "x" * 256], ids=repr
)
def test_a_bad_key_is_refused_and_nothing_runs(store, key):
    app = App()
    answer = send(wrap(app, store), key=key)
    assert (answer.code, answer.problem) == (400, "Bad idempotency key")
    assert app.runs == 0


def test_the_longest_key_is_taken(store):
    app = App()
    wrapped = wrap(app, store)
    for _ in range(2):
        assert send(wrapped, key="x" * 255).code == 201
    assert app.runs == 1


@pytest.mark.parametrize("other", [{"body": b"[]"}, {"query": "a=1"}])
def test_another_request_with_the_key_is_refused(store, other):
    app = App()
    wrapped = wrap(app, store)
    send(wrapped)
    answer = send(wrapped, **other)
    assert (answer.code, answer.problem) == (422, "Idempotency key reused")
    assert app.runs == 1
    assert send(wrapped).body == b"paid"


@pytest.mark.parametrize("other", [{"method": "PUT"}, {"path": "/refunds"}])
def test_a_key_is_scoped_by_method_and_path(store, other):
    app = App()
    wrapped = wrap(app, store)
    send(wrapped)
    assert "Idempotent-Replayed" not in send(wrapped, **other).headers
    assert app.runs == 2


@pytest.mark.parametrize(
    "principal", ["Authorization", lambda environ: environ.get("HTTP_AUTHORIZATION")]
)
def test_a_key_is_scoped_by_principal(store, principal):
    app = App()
    wrapped = wrap(app, store, principal=principal)
    for caller in ("ann", "bob", "ann"):
        assert send(wrapped, HTTP_AUTHORIZATION=caller).code == 201
    assert app.runs == 2
    answer = send(wrapped)
    assert (answer.code, answer.problem) == (400, "Unknown caller")
    assert app.runs == 2


def test_scopes_are_joined_unambiguously(store):
    app = App()
    wrapped = wrap(app, store, principal="X-Caller")
    send(wrapped, key="b", HTTP_X_CALLER="ca")
    send(wrapped, key="ab", HTTP_X_CALLER="c")
    assert app.runs == 2


def test_a_scope_longer_than_a_store_key_still_tells_keys_apart(store):
    app = App()
    wrapped = wrap(app, store, principal="X-Caller")
    for key in ("a", "b", "a"):
        send(wrapped, key=key, HTTP_X_CALLER="c" * 2000)
    assert app.runs == 2


def test_the_principal_must_be_chosen(store):
    with pytest.raises(TypeError, match="principal"):
        IdempotencyMiddleware(App(), store)


def test_bad_options_are_named(store):
    with pytest.raises(TypeError, match="methods"):
        wrap(App(), store, methods="POST")
    with pytest.raises(ValueError, match="on_crash"):
        wrap(App(), store, on_crash="explode")


class Inside(App):
    """Stays in the handler until the test lets it go."""

    def __init__(self):
        super().__init__()
        self.entered, self.leave = threading.Event(), threading.Event()

    def __call__(self, environ, start_response):
        self.entered.set()
        assert self.leave.wait(DEADLINE_S)
        return super().__call__(environ, start_response)


@pytest.fixture
def inside():
    app = Inside()
    yield app
    app.leave.set()


def run_in_thread(call):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(call()), daemon=True)
    thread.start()

    def result():
        thread.join(DEADLINE_S)
        return answers[0]

    return result


def test_a_duplicate_in_flight_gets_409_and_when_to_retry(store, inside):
    wrapped = wrap(inside, store)
    first = run_in_thread(lambda: send(wrapped))
    assert inside.entered.wait(DEADLINE_S)
    answer = send(wrapped)
    assert (answer.code, answer.problem) == (409, "Request in flight")
    assert int(answer.headers["Retry-After"]) >= 1
    assert send(wrapped, body=b"other").code == 422, "a mismatch is told before 'in flight'"
    inside.leave.set()
    assert first().code == 201
    assert send(wrapped).headers["Idempotent-Replayed"] == "true"
    assert inside.runs == 1


def test_a_waiting_duplicate_gets_the_response(store, inside):
    wrapped = wrap(inside, store, wait=DEADLINE_S)
    first = run_in_thread(lambda: send(wrapped))
    assert inside.entered.wait(DEADLINE_S)
    second = run_in_thread(lambda: send(wrapped))
    inside.leave.set()
    assert first().body == second().body == b"paid"
    assert inside.runs == 1


@pytest.mark.parametrize("status", ["500 Oops", "503 Later", "401 Who", "429 Slower"])
def test_a_response_that_decides_nothing_gives_the_key_back(store, status):
    app = App(status=status)
    wrapped = wrap(app, store)
    assert send(wrapped).status == send(wrapped).status == status
    assert app.runs == 2
    assert [claim.outcome for claim in app.claims] == [Outcome.CLAIMED] * 2


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
    assert app.claims[-1].outcome is Outcome.CLAIMED
    assert app.closed == app.runs - (1 if isinstance(failure, KeyError) else 0)


@pytest.mark.parametrize("leaving", [SystemExit(1), KeyboardInterrupt()], ids=repr)
def test_a_process_exit_abandons_so_the_next_attempt_can_reconcile(store, leaving):
    app = App(body=leaving)
    wrapped = wrap(app, store)
    with pytest.raises(type(leaving)):
        send(wrapped)
    app.answer = App().answer
    assert send(wrapped).code == 201
    assert app.claims[-1].outcome is Outcome.RECLAIMED
    assert app.claims[-1].attempt == 2


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
    wrapped = wrap(app, store)
    pid = os.fork()
    if pid == 0:
        app.__class__.__call__ = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        try:
            send(wrapped)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    wrapped._wait = DEADLINE_S  # a death may be noticed some milliseconds late
    assert send(wrapped).code == 201
    assert app.claims[-1].outcome is Outcome.RECLAIMED


def test_the_response_is_recorded_before_its_first_byte_goes_out(store):
    wrapped = wrap(App(body=[b"a", b"b"]), store)
    seen = []

    def start_response(_status, _headers, _exc_info=None):
        seen.append(send(wrapped).headers.get("Idempotent-Replayed"))
        return seen.append

    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/payouts",
        "CONTENT_LENGTH": "2",
        "wsgi.input": io.BytesIO(b"{}"),
        "HTTP_IDEMPOTENCY_KEY": "k-1",
    }
    assert b"".join(wrapped(environ, start_response)) == b"ab"
    assert seen == ["true"]


def test_the_body_is_handed_on_to_the_application(store):
    app = App()
    send(wrap(app, store), body=b"amount=1")
    assert app.bodies == [b"amount=1"]


def test_a_body_without_a_length_is_read_where_the_server_ends_it(store):
    app = App()
    wrapped = wrap(app, store)
    terminated = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    send(wrapped, body=b"chunked", **terminated)
    assert send(wrapped, body=b"changed", **terminated).code == 422
    assert app.bodies == [b"chunked"]


def test_a_body_cut_short_runs_nothing(store):
    app = App()
    answer = send(wrap(app, store), body=b"half", CONTENT_LENGTH="8")
    assert (answer.code, answer.problem) == (400, "Request cut short")
    assert app.runs == 0


def test_a_bad_length_runs_nothing(store):
    app = App()
    assert send(wrap(app, store), CONTENT_LENGTH="-1").code == 400
    assert app.runs == 0


@pytest.mark.parametrize("how", [{}, {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}])
def test_a_body_above_the_limit_runs_nothing(store, how):
    app = App()
    answer = send(wrap(app, store, max_request_bytes=8), body=b"123456789", **how)
    assert (answer.code, answer.problem) == (413, "Request too large")
    assert app.runs == 0


def test_a_response_above_the_limit_streams_and_is_not_run_again(store):
    app = App(body=[b"x" * 600, b"y" * 600, b"z" * 600])
    wrapped = wrap(app, store, max_response_bytes=1000)
    assert send(wrapped).body == b"x" * 600 + b"y" * 600 + b"z" * 600
    answer = send(wrapped)
    assert (answer.code, answer.problem) == (409, "Response not kept")
    assert (app.runs, app.closed) == (1, 1)


def test_a_response_above_the_limit_is_sent_while_it_is_made(store):
    made = []

    def parts():
        for number in range(5):
            made.append(number)
            yield b"x" * 600

    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/payouts",
        "wsgi.input": io.BytesIO(),
        "HTTP_IDEMPOTENCY_KEY": "k-1",
    }
    wrapped = wrap(App(body=parts()), store, max_response_bytes=1000)
    body = iter(wrapped(environ, lambda *_: made.append("sent")))
    assert len(next(body)) == 1200
    assert made == [0, 1, "sent"]
    assert len(b"".join(body)) == 1800


def test_a_response_above_what_the_store_takes_is_not_run_again(store):
    app = App(body=b"x" * (2 << 20))
    wrapped = wrap(app, store, max_response_bytes=4 << 20)
    first = send(wrapped)
    assert len(first.body) == 2 << 20
    assert "Idempotency-Stored" not in first.headers
    assert send(wrapped).problem == "Response not kept"
    assert app.runs == 1


class Refusing:
    """A store whose claims fail."""

    def claim(self, *_, **__):
        raise idemkey.FullError("full")


def test_a_store_that_refuses_means_503_and_nothing_runs():
    app = App()
    answer = send(wrap(app, Refusing()))
    assert (answer.code, answer.problem) == (503, "Idempotency store unavailable")
    assert "Retry-After" in answer.headers
    assert app.runs == 0


def test_a_response_that_cannot_be_recorded_is_delivered_and_says_so(store, monkeypatch):
    app = App()
    wrapped = wrap(app, store)

    def fail(*_, **__):
        raise idemkey.LostClaimError("forced")

    with monkeypatch.context() as patch:
        patch.setattr(idemkey.Claim, "complete", fail)
        answer = send(wrapped)
    assert (answer.code, answer.body) == (201, b"paid")
    assert answer.headers["Idempotency-Stored"] == "false"
    assert send(wrapped).problem == "Request in flight", "the key stays claimed"
    assert app.runs == 1
    wrapped._unrecorded.pop().release()


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
