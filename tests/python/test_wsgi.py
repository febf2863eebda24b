"""What the WSGI middleware makes of requests, without a server."""

from __future__ import annotations

import io
import json
import signal
import threading

import idemkey
import pytest
from idemkey.wsgi import IdempotencyMiddleware
from web import App, send, wrap

DEADLINE_S = 30


@pytest.fixture(autouse=True)
def watchdog():
    signal.alarm(DEADLINE_S)
    yield
    signal.alarm(0)


def test_a_duplicate_is_replayed_with_status_headers_and_body(store):
    app = App(headers=[("Location", "/payouts/7"), ("X-Part", "1"), ("X-Part", "2")])
    wrapped = wrap(app, store)
    first, second = send(wrapped), send(wrapped)
    assert app.runs == 1
    assert (first.status, first.body) == (second.status, second.body) == ("201 Created", b"paid")
    assert first.pairs == app.answer[1]
    added = [("Content-Length", "4"), ("Cache-Control", "no-store")]
    assert second.pairs == [*first.pairs, *added, ("Idempotent-Replayed", "true")]


def test_headers_of_one_connection_or_moment_are_not_replayed(store):
    dropped = ["Set-Cookie", "Date", "Connection", "Transfer-Encoding", "WWW-Authenticate"]
    wrapped = wrap(App(headers=[(name, "x") for name in dropped]), store)
    assert set(dropped) <= set(send(wrapped).headers)
    assert not set(dropped) & set(send(wrapped).headers)


def test_the_profile_is_ietf_unless_told_otherwise(store):
    wrapped = IdempotencyMiddleware(App(), store, principal=None)
    send(wrapped), send(wrapped)
    assert wrapped.engine.counts == {"ietf": {"FIRST": 1, "RECORDED": 1, "KEPT": 1}}


def test_a_profile_says_what_an_api_promises(store):
    app = App()
    wrapped = IdempotencyMiddleware(app, store, profile="nextapi-v2", principal="X-Caller")
    request = {"key": None, "HTTP_X_IDEMPOTENCY_KEY": "k", "HTTP_X_CALLER": "ann"}
    request["CONTENT_TYPE"] = "application/json"
    assert send(wrapped, body=b'{"a": 1, "b": 2}', **request).code == 201
    replay = send(wrapped, body=b'{"b":2,"a":1.0}', **request)
    assert replay.headers["X-Idempotency-Replayed"] == "true"
    refusal = send(wrapped, body=b'{"a": 2}', **request)
    assert refusal.code == 409
    assert json.loads(refusal.body)["error"]["code"] == "IDEMPOTENCY_KEY_CONFLICT"
    assert app.runs == 1


@pytest.mark.parametrize("request_", [{"key": None}, {"method": "GET"}, {"method": "HEAD"}])
def test_without_a_key_or_with_a_safe_method_the_application_is_untouched(store, request_):
    app = App()
    wrapped = wrap(app, store)
    send(wrapped, **request_), send(wrapped, **request_)
    assert app.runs == 2
    assert app.claims == [None, None]


def test_methods_and_header_can_be_chosen(store):
    app = App()
    wrapped = wrap(app, store, headers=["X-Key"], methods=["GET"])
    for _ in range(2):
        send(wrapped, key=None, method="GET", HTTP_X_KEY="a")
    assert app.runs == 1
    send(wrapped, key=None, method="POST", HTTP_X_KEY="a")
    assert app.runs == 2


@pytest.mark.parametrize(
    "key",
    ["", " ", "a b", "a\tb", "a\x00", "a\x7f", "a\nb", "a\r\nX: b", "ké", "a,b", '"a', "x" * 256],
    ids=repr,
)
def test_a_bad_key_is_refused_and_nothing_runs(store, key):
    app = App()
    answer = send(wrap(app, store), key=key)
    assert (answer.code, answer.problem) == (400, "Idempotency key invalid")
    assert app.runs == 0


def test_the_longest_key_is_taken(store):
    app = App()
    wrapped = wrap(app, store)
    for _ in range(2):
        assert send(wrapped, key="x" * 255).code == 201
    assert app.runs == 1


@pytest.mark.parametrize(
    "other", [{"body": b"[]"}, {"query": "a=1"}, {"method": "PATCH"}, {"path": "/refunds"}]
)
def test_another_request_with_the_key_is_refused(store, other):
    app = App()
    wrapped = wrap(app, store)
    send(wrapped)
    answer = send(wrapped, **other)
    assert (answer.code, answer.problem) == (422, "Idempotency key reused")
    assert app.runs == 1
    assert send(wrapped).body == b"paid"


@pytest.mark.parametrize("other", [{"method": "PUT"}, {"path": "/refunds"}])
def test_a_key_can_be_scoped_by_method_and_path(store, other):
    app = App()
    wrapped = wrap(app, store, key_scope="endpoint-method", methods=["POST", "PUT"])
    send(wrapped)
    assert not send(wrapped, **other).replayed
    assert app.runs == 2


def test_different_paths_stay_different(store):
    """A path that the server has decoded is told from one that reads like it, encoded or not."""
    app = App()
    wrapped = wrap(app, store, key_scope="endpoint")
    paths = ["/a b", "/a%20b", "/a%2520b", "/a?b", "/\xc3\xa9", "/%C3%A9", "/a/b"]
    for path in [*paths, *paths]:
        assert send(wrapped, path=path).code == 201
    assert app.runs == len(paths)
    assert send(wrapped, path="/b", SCRIPT_NAME="/a").replayed


@pytest.mark.parametrize("variable", ["RAW_URI", "REQUEST_URI"])
def test_a_path_is_as_it_was_sent_where_the_server_says_it(store, variable):
    app = App()
    wrapped = wrap(app, store, key_scope="endpoint", routes=[{"match": "/a%2Fb", "ttl": 9}])
    send(wrapped, path="/a/b", **{variable: "/a%2Fb?c=1"})
    assert send(wrapped, path="/a/b", **{variable: "/a%2Fb"}).replayed
    assert not send(wrapped, path="/a/b", **{variable: "/a/b"}).replayed
    assert not send(wrapped, path="/a", **{variable: "http://site/a"}).replayed
    assert send(wrapped, path="/a").replayed


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


def test_a_function_is_asked_for_the_principal_of_requests_with_a_key_only(store):
    asked = []

    def principal(environ):
        asked.append(environ["PATH_INFO"])
        return b"ann"

    wrapped = wrap(App(), store, principal=principal)
    send(wrapped, key=None, path="/without")
    send(wrapped, path="/with")
    assert asked == ["/with"]


def test_a_principal_that_is_none_of_text_or_bytes_is_an_error_and_nothing_runs(store):
    app = App()
    with pytest.raises(TypeError, match="principal's function must return"):
        send(wrap(app, store, principal=lambda environ: 7))
    assert app.runs == 0


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
    assert send(wrapped).replayed
    assert inside.runs == 1


def test_a_waiting_duplicate_gets_the_response(store, inside):
    wrapped = wrap(inside, store, wait=DEADLINE_S)
    first = run_in_thread(lambda: send(wrapped))
    assert inside.entered.wait(DEADLINE_S)
    second = run_in_thread(lambda: send(wrapped))
    inside.leave.set()
    assert first().body == second().body == b"paid"
    assert inside.runs == 1


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
    assert (app.bodies, app.lengths) == ([b"chunked"], ["7"])


def test_a_body_of_unknown_length_is_refused_where_it_cannot_be_read(store):
    app = App()
    answer = send(wrap(app, store), CONTENT_LENGTH="", HTTP_TRANSFER_ENCODING="chunked")
    assert (answer.code, answer.body) == (411, b"")
    assert app.runs == 0


def test_without_a_length_there_is_no_body(store):
    app = App()
    wrapped = wrap(app, store)
    for _ in range(2):
        assert send(wrapped, body=b"not read", CONTENT_LENGTH="").code == 201
    assert (app.runs, app.bodies) == (1, [b""])


class Slow(io.BytesIO):
    """Gives a byte at a time, and notes how many were asked for."""

    def __init__(self, body):
        super().__init__(body)
        self.asked = []

    def read(self, size=-1):
        self.asked.append(size)
        return super().read(1)


def test_a_body_is_read_to_its_end_and_no_further(store):
    app = App()
    stream = Slow(b"abcdef")
    send(wrap(app, store), body=b"abc", **{"wsgi.input": stream})
    assert (app.bodies, stream.asked) == ([b"abc"], [3, 2, 1])


def test_a_body_that_is_told_to_be_too_long_is_not_read(store):
    stream = Slow(b"123456789")
    wrapped = wrap(App(), store, max_request=8)
    assert send(wrapped, CONTENT_LENGTH="9", **{"wsgi.input": stream}).code == 413
    assert stream.asked == []


def test_a_chunked_body_is_read_no_further_than_it_may_be_long(store):
    stream = Slow(b"123456789")
    wrapped = wrap(App(), store, max_request=4)
    chunked = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True, "wsgi.input": stream}
    assert send(wrapped, **chunked).code == 413
    assert len(stream.asked) == 5


def test_a_body_cut_short_runs_nothing(store):
    app = App()
    answer = send(wrap(app, store), body=b"half", CONTENT_LENGTH="8")
    assert (answer.code, answer.problem) == (400, "Bad request")
    assert app.runs == 0


def test_a_bad_length_runs_nothing(store):
    app = App()
    assert send(wrap(app, store), CONTENT_LENGTH="-1").code == 400
    assert app.runs == 0


@pytest.mark.parametrize("how", [{}, {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}])
def test_a_body_above_the_limit_runs_nothing(store, how):
    app = App()
    answer = send(wrap(app, store, max_request=8), body=b"123456789", **how)
    assert (answer.code, answer.problem) == (413, "Request too large")
    assert app.runs == 0


def test_a_full_store_means_503_and_nothing_runs(tmp_path):
    app = App()
    with idemkey.Store(str(tmp_path / "small.idem"), max_bytes=1 << 20) as store:
        with pytest.raises(idemkey.FullError):
            for number in range(1_000_000):
                store.claim(b"%d" % number, intent=bytes(200)).complete(bytes(200))
        answer = send(wrap(app, store))
        assert (answer.code, answer.problem) == (503, "Idempotency unavailable")
        assert answer.headers["Retry-After"] == "1"
        assert app.runs == 0
        assert send(wrap(app, store, on_store_failure="run")).code == 201
        assert (app.runs, app.claims, app.bodies) == (1, [None], [b"{}"])


@pytest.mark.parametrize("opened", ["before", "after"])
def test_workers_share_responses_whenever_the_store_was_opened(path, fork, opened):
    app = App()
    early = wrap(app, idemkey.Store(path)) if opened == "before" else None

    def serve(say):
        wrapped = early or wrap(app, idemkey.Store(path))
        say([send(wrapped).replayed for _ in range(2)])

    heard = []
    for _ in range(3):
        child = fork(serve)
        heard.append(child.hear())
        child.join()
    assert heard == [[False, True], [True, True], [True, True]]
    with idemkey.Store(path) as store:
        store.check()
