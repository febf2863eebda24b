"""Any response comes back as it was, and any request is told from any other."""

from __future__ import annotations

import idemkey
import pytest
from hypothesis import given
from hypothesis import strategies as st
from idemkey.http import Action, Engine
from idemkey.http.fields import headers_of, response_fields
from idemkey.wsgi import IdempotencyMiddleware
from web import App, send

TOKEN = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=12)
# What a field's value may hold, without the blanks around it.
VALUE = st.text(
    st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40
).map(lambda text: text.strip(" "))
# A colon and a blank in a value look like the end of a name.
HEADERS = st.lists(st.tuples(TOKEN, VALUE | st.sampled_from([": a", "a: b", "a:", ""])), max_size=8)
STATUS = st.integers(200, 599)
BODY = st.binary(max_size=300)
PIECES = st.lists(st.binary(max_size=100), max_size=4)
# Told anew with each replay, or of one connection, moment or client.
NOT_KEPT = {
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
    "upgrade", "date", "set-cookie", "set-cookie2", "www-authenticate", "proxy-authenticate",
    "authentication-info", "proxy-authentication-info", "proxy-authorization", "content-length",
    "cache-control", "x-idemkey-keep", "idempotency-stored",
}  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One store for all examples: keys tell them apart."""
    path = tmp_path_factory.mktemp("http") / "region.idem"
    with idemkey.Store(str(path), max_bytes=256 << 20) as store:
        yield store
        assert store.check()["violations"] == 0


@pytest.fixture(scope="module")
def keys():
    return iter(f"k-{number}" for number in range(1_000_000))


@given(headers=HEADERS)
def test_headers_go_to_the_engine_and_back(headers):
    assert headers_of(response_fields(headers)) == headers


@given(status=STATUS, headers=HEADERS, parts=PIECES, lists=st.booleans())
def test_a_response_is_replayed_as_it_was(shared, keys, status, headers, parts, lists):
    app = App(parts if lists else iter(parts), f"{status} Status", headers)
    wrapped = IdempotencyMiddleware(app, shared, principal=None, keeps="all")
    key = next(keys)
    first, second = send(wrapped, key=key), send(wrapped, key=key)
    assert app.runs == 1
    assert (first.status, first.body) == (f"{status} Status", b"".join(parts))
    assert first.pairs == app.answer[1]
    content = b"" if status in (204, 304) else b"".join(parts)  # these have none
    assert (second.code, second.body) == (status, content)
    kept = [pair for pair in first.pairs if pair[0].lower() not in NOT_KEPT]
    length = [] if status in (204, 304) else [("Content-Length", str(len(second.body)))]
    assert second.pairs == [*kept, *length, ("Cache-Control", "no-store")]


REQUEST = st.tuples(
    st.sampled_from(["POST", "PATCH"]),
    st.sampled_from(["/", "/a", "/a/b", "/a%2Fb"]),
    st.sampled_from(["", "a=1", "a=1&b=2", "a%3D1"]),
    st.sampled_from([b"", b"a", b"ab", b"a=1"]),
)


@given(one=REQUEST, other=REQUEST, digest=st.sampled_from(["xxh3", "blake2b"]))
def test_requests_are_told_apart(shared, keys, one, other, digest):
    engine = Engine(shared, principal=None, fingerprint=digest)
    key = next(keys)

    def exchange(request):
        method, path, query, body = request
        begun = engine.begin(method, path, query, f"idempotency-key: {key}\r\n")
        begun.decide(body)
        return begun

    exchange(one).respond(200, "", b"done")
    answer = exchange(other)
    assert (answer.action is Action.REPLAY) == (one == other)
    assert answer.status == (200 if one == other else 422)


@given(body=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=5))
def test_a_body_in_pieces_is_the_body(shared, keys, body, cuts):
    engine = Engine(shared, principal=None)
    fields = f"idempotency-key: {next(keys)}\r\n"
    whole = engine.begin("POST", "/", "", fields)
    whole.decide(body)
    whole.respond(200, "", body)
    pieces = engine.begin("POST", "/", "", fields)
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    for start, end in zip(edges, edges[1:]):
        pieces.feed(body[start:end])
    assert pieces.decide() is Action.REPLAY
    assert pieces.body == body


@given(fields=st.binary(max_size=200), body=st.binary(max_size=50))
def test_any_bytes_as_headers_get_an_answer(shared, fields, body):
    engine = Engine(shared, principal="X-Caller", key_rule="text")
    exchange = engine.begin("POST", "/", "", f"idempotency-key: any\r\n{fields.decode('latin-1')}")
    if exchange.action is Action.NEED_BODY:
        exchange.decide(body)
    assert exchange.action in (Action.RUN, Action.REPLAY, Action.REJECT)
    if exchange.action is Action.REJECT:
        assert 400 <= exchange.status <= 499
    elif exchange.action is Action.RUN:
        exchange.abort(KeyError())
