"""What the ASGI middleware makes of requests, driven by hand."""

from __future__ import annotations

import asyncio
import signal

import idemkey
import pytest
from asgi_web import App, Client, request, wrap
from idemkey import Outcome

DEADLINE_S = 30
TURNS = 10  # of the loop: what is ready has run by then


@pytest.fixture(autouse=True)
def watchdog():
    signal.alarm(DEADLINE_S)
    yield
    signal.alarm(0)


def test_a_duplicate_is_replayed(store):
    app = App(headers=[(b"location", b"/payouts/7"), (b"x", b"2"), (b"set-cookie", b"a")])
    first, second = request(wrap(app, store), {}, {})
    assert app.runs == 1
    assert (first.status, first.body) == (second.status, second.body) == (201, b"paid")
    assert first.sent[0]["headers"] == app.headers
    assert second.sent[0]["headers"] == [
        *app.headers[:-1],
        (b"content-length", b"4"),
        (b"cache-control", b"no-store"),
        (b"x-replayed", b"true"),
    ]


def test_without_a_key_or_with_a_safe_method_the_application_is_untouched(store):
    app = App()
    wrapped = wrap(app, store)
    for how in ({"key": None}, {"method": "GET"}):
        client = Client(wrapped, **how)
        asyncio.run(client.call())
        assert app.scopes[-1] is client.scope
        assert client.sent[0]["headers"] is app.headers
    assert app.claims == [None, None]


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_what_is_no_request_passes_through(store, kind):
    seen = []

    async def app(*arguments):
        seen.append(arguments)

    arguments = ({"type": kind}, object(), object())
    asyncio.run(wrap(app, store)(*arguments))
    assert seen == [arguments]


@pytest.mark.parametrize(
    ("other", "title"),
    [
        ({"body": b"[]"}, "Idempotency key reused"),
        ({"query_string": b"a=1"}, "Idempotency key reused"),
        ({"raw_path": b"/pay%6futs"}, "Idempotency key reused"),
        ({"key": b"a,b"}, "Idempotency key invalid"),
        ({"key": b"a\r\nx: b"}, "Idempotency key invalid"),
        ({"headers": [(b"idempotency-key", b"a")] * 2}, "Idempotency key invalid"),
        ({"body": b"123", "pieces": [b"12"]}, "Bad request"),
        ({"body": b"123456789"}, "Request too large"),
    ],
    ids=str,
)
def test_refusals(store, other, title):
    app = App()
    _, refusal = request(wrap(app, store, max_request=8), {}, other)
    assert refusal.problem == title
    assert 400 <= refusal.status <= 422
    assert app.runs == 1


def test_a_path_without_its_raw_form_is_encoded_anew(store):
    app = App()
    wrapped = wrap(app, store, key_scope="endpoint")
    for path, raw in (
        ("/a b", None),
        ("/a b", b"/a%20b?not=this"),
        ("/é", None),
        ("/é", b"/%C3%A9"),
    ):
        assert request(wrapped, path=path, raw_path=raw).status == 201
    assert app.runs == 2


def test_a_function_is_given_the_scope(store):
    app = App()
    wrapped = wrap(app, store, principal=lambda scope: scope["user"])
    for user in ("ann", "bob", "ann"):
        assert request(wrapped, user=user).status == 201
    assert app.runs == 2
    assert request(wrapped, user=None).problem == "Unknown caller"


def test_a_body_in_pieces(store):
    app = App()
    assert request(wrap(app, store), {"pieces": [b"{", b"", b"}"]}, {})[1].replayed
    assert app.bodies == [b"{}"]


def test_a_body_is_read_no_further_than_it_may_be_long(store):
    client = Client(
        wrap(App(), store, max_request=4),
        pieces=[b"123", b"45", b"6"],
        headers=[(b"idempotency-key", b"k")],
    )
    asyncio.run(client.call())
    assert client.status == 413
    assert len(client.incoming) == 1


def test_a_client_that_leaves_before_its_request_is_complete_runs_nothing(store):
    app = App()
    client = Client(wrap(app, store))
    client.incoming = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    asyncio.run(client.call())
    assert (client.sent, app.runs) == ([], 0)
    assert list(store.scan()) == []


def test_a_client_that_leaves_cancels_nothing(store):
    class Listening(App):
        async def before(self, scope, receive):
            """As frameworks do: they end a handler when its client has left."""
            self.listener = asyncio.ensure_future(receive())
            client.left.set()
            for _ in range(TURNS):
                await asyncio.sleep(0)
            assert not self.listener.done(), "it does not know"

    app = Listening()
    wrapped = wrap(app, store)
    client = None

    async def scenario():
        nonlocal client
        client = Client(wrapped)
        await client.call()
        assert await app.listener == {"type": "http.disconnect"}, "it does once all is recorded"
        return await Client(wrapped).call()

    assert asyncio.run(scenario()).replayed


def test_an_application_may_hear_that_its_client_has_left_once_it_has_answered(store):
    async def app(scope, receive, send):
        await App()(scope, receive, send)
        assert await receive() == {"type": "http.disconnect"}

    client = Client(wrap(app, store))
    client.left.set()
    assert asyncio.run(client.call()).body == b"paid"


class Inside(App):
    """Stays in the handler until the test lets it go."""

    async def before(self, scope, receive):
        self.entered.set()
        await self.leave.wait()

    def prepare(self):
        self.entered, self.leave = asyncio.Event(), asyncio.Event()


def test_a_duplicate_in_flight_gets_409(store):
    app = Inside()
    wrapped = wrap(app, store)

    async def scenario():
        app.prepare()
        first = asyncio.ensure_future(Client(wrapped).call())
        await app.entered.wait()
        busy = await Client(wrapped).call()
        app.leave.set()
        return await first, busy, await Client(wrapped).call()

    first, busy, replay = asyncio.run(scenario())
    assert (first.status, replay.replayed) == (201, True)
    assert (busy.problem, busy.headers[b"retry-after"]) == ("Request in flight", b"1")


def test_duplicates_wait_without_blocking_the_loop(store):
    app = Inside()
    wrapped = wrap(app, store, wait=DEADLINE_S)
    ticks = []

    async def tick():
        while True:
            ticks.append(None)
            await asyncio.sleep(0)

    async def scenario():
        app.prepare()
        first = asyncio.ensure_future(Client(wrapped).call())
        await app.entered.wait()
        others = [asyncio.ensure_future(Client(wrapped).call()) for _ in range(20)]
        while wrapped.engine.counts["ietf"].get("IN_FLIGHT", 0) < len(others):
            await asyncio.sleep(0)
        ticker, before = asyncio.ensure_future(tick()), len(ticks)
        while len(ticks) < before + 100:
            await asyncio.sleep(0)
        assert not any(other.done() for other in others)
        app.leave.set()
        answers = await asyncio.gather(first, *others)
        ticker.cancel()
        return answers

    first, *others = asyncio.run(scenario())
    assert app.runs == 1
    assert all(other.replayed and other.body == first.body for other in others)


def test_a_wait_ends_when_the_profile_says(store):
    app = Inside()
    wrapped = wrap(app, store, wait=0.1)

    async def scenario():
        app.prepare()
        first = asyncio.ensure_future(Client(wrapped).call())
        await app.entered.wait()
        busy = await Client(wrapped).call()
        app.leave.set()
        await first
        return busy

    assert asyncio.run(scenario()).status == 409


def test_a_cancelled_task_abandons(store):
    app = Inside()
    wrapped = wrap(app, store)

    async def scenario():
        app.prepare()
        task = asyncio.ensure_future(Client(wrapped).call())
        await app.entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        app.leave.set()
        return await Client(wrapped).call()

    assert asyncio.run(scenario()).status == 201
    assert app.claims[-1] == (Outcome.RECLAIMED, 2, True)


def test_a_cancelled_waiter_leaves_nothing_behind(store):
    app = Inside()
    wrapped = wrap(app, store, wait=DEADLINE_S, max_waiters=1)

    async def scenario():
        app.prepare()
        first = asyncio.ensure_future(Client(wrapped).call())
        await app.entered.wait()
        for number in range(1, 4):  # each one finds room to wait
            waiter = asyncio.ensure_future(Client(wrapped).call())
            while wrapped.engine.counts["ietf"].get("IN_FLIGHT", 0) < number:
                await asyncio.sleep(0)
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
        app.leave.set()
        return await first

    assert asyncio.run(scenario()).status == 201


def test_without_a_store_nothing_runs_or_all_does(path):
    store = idemkey.Store(path)
    app = App()
    refusing, running = wrap(app, store), wrap(app, store, on_store_failure="run")
    store.close()
    refusal = request(refusing)
    assert (refusal.status, refusal.headers[b"retry-after"]) == (503, b"1")
    assert app.runs == 0
    client = Client(running)
    client.left.set()

    class Listening(App):
        async def before(self, scope, receive):
            assert await receive() == {"type": "http.disconnect"}, "nothing is withheld"

    running._app = listening = Listening()
    asyncio.run(client.call())
    assert (client.status, listening.bodies, listening.claims) == (201, [b"{}"], [None])
