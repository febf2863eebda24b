"""What the ASGI middleware makes of responses, driven by hand."""

from __future__ import annotations

import asyncio
import signal

import pytest
from asgi_web import App, Client, read, request, wrap
from idemkey import Outcome

DEADLINE_S = 30


@pytest.fixture(autouse=True)
def watchdog():
    signal.alarm(DEADLINE_S)
    yield
    signal.alarm(0)


@pytest.mark.parametrize(
    ("failure", "outcome"), [(KeyError("x"), Outcome.CLAIMED), (SystemExit(1), Outcome.RECLAIMED)]
)
def test_an_exception_releases_and_an_exit_abandons(store, failure, outcome):
    app = App(failure=failure)
    wrapped = wrap(app, store)
    with pytest.raises(type(failure)):
        request(wrapped)
    app.failure = None
    assert request(wrapped).status == 201
    assert app.claims[-1][0] is outcome


def test_the_response_is_recorded_before_its_first_byte_goes_out(store):
    wrapped = wrap(App([b"a", b"b"]), store)
    seen = []

    class Asking(Client):
        async def send(self, message):
            seen.append((await Client(wrapped).call()).replayed)
            await super().send(message)

    client = Asking(wrapped)
    asyncio.run(client.call())
    assert client.body == b"ab"
    assert seen == [True, True]


def test_a_response_above_the_limit_streams_and_is_not_run_again(store):
    client = None

    class Streaming(App):
        async def __call__(self, scope, receive, send):
            self.claims.append(None)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            seen = []
            for _ in range(4):
                part = {"type": "http.response.body", "body": b"x" * 600, "more_body": True}
                await send(part)
                seen.append(len(client.sent))
            assert seen == [0, 2, 3, 4], "held, then sent as it is made"
            assert (await Client(wrapped).call()).problem == "Response not kept"
            client.left.set()
            await read(receive)
            assert await receive() == {"type": "http.disconnect"}, "nothing is held any more"
            await send({"type": "http.response.body"})

    app = Streaming()
    wrapped = wrap(app, store, max_response=1000)

    async def scenario():
        nonlocal client
        client = Client(wrapped)
        return await client.call()

    answer = asyncio.run(scenario())
    assert len(answer.body) == 2400
    assert answer.headers[b"idempotency-stored"] == b"false"
    assert request(wrapped).problem == "Response not kept"
    assert app.runs == 1


@pytest.mark.parametrize("status", [500, 200])
def test_an_end_without_an_end_of_the_response_is_an_error(store, status):
    runs = []

    async def app(scope, receive, send):
        runs.append(scope["idemkey.claim"].outcome)
        if status == 200:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"part", "more_body": True})

    wrapped = wrap(app, store)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="without a complete response"):
            request(wrapped)
    assert runs == [Outcome.CLAIMED] * 2


def test_what_comes_after_the_response_is_the_applications_own_affair(store):
    async def app(scope, receive, send):
        await App()(scope, receive, send)
        raise KeyError("in a task behind the response")

    client = Client(wrap(app, store))
    with pytest.raises(KeyError):
        asyncio.run(client.call())
    assert client.body == b"paid"
    assert request(wrap(app, store)).replayed


@pytest.mark.parametrize(
    "header", [(b"x", b"a\r\ny: b"), (b"x", b"a\n"), (b"x y", b"a"), (b"", b"a")]
)
def test_a_header_that_cannot_be_sent_is_an_error_and_nothing_is_recorded(store, header):
    app = App(headers=[header])
    for _ in range(2):
        client = Client(wrap(app, store))
        with pytest.raises(ValueError, match="header"):
            asyncio.run(client.call())
        assert client.sent == []
    assert app.claims == [(Outcome.CLAIMED, 1, False)] * 2


def test_a_body_before_the_start_is_an_error(store):
    async def app(scope, receive, send):
        await send({"type": "http.response.body", "body": b"x"})

    with pytest.raises(RuntimeError, match=r"before http\.response\.start"):
        request(wrap(app, store))


def test_the_application_can_say_what_is_kept_and_nobody_sees_it(store):
    app = App(headers=[(b"X-Idemkey-Keep", b"no")])
    answers = request(wrap(app, store), {}, {})
    assert app.runs == 2
    assert all(answer.sent[0]["headers"] == [(b"x", b"1")] for answer in answers)


def test_ways_around_the_middleware_are_not_offered(store):
    app = App()
    offered = {"http.response.pathsend": {}, "http.response.push": {}, "tls": {"a": 1}}
    client = Client(wrap(app, store), extensions=offered)
    asyncio.run(client.call())
    assert app.scopes[0]["extensions"] == {"tls": {"a": 1}}
    assert len(client.scope["extensions"]) == 3


@pytest.mark.parametrize(
    ("notes", "runs"),
    [
        ({"idemkey.unrouted": True}, 2),
        ({"router": object()}, 2),
        ({"router": object(), "endpoint": len}, 1),
        ({}, 1),
    ],
)
def test_a_404_from_routing_decides_nothing(store, notes, runs):
    class Routed(App):
        async def before(self, scope, receive):
            scope.update(notes)

    app = Routed(status=404)
    request(wrap(app, store), {}, {})
    assert app.runs == runs
