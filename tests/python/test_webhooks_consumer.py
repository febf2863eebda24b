"""Handlers of webhooks: once for each event, again after a failure, later while one runs."""

import asyncio
import pickle
import warnings

import idemkey
import pytest
from idemkey import Outcome, State, webhooks
from idemkey.webhooks import HeldDeliveryError, RetryLaterError

BY_ID = webhooks.event_id_key("id")
EVENT = {"id": "evt_1"}


@pytest.fixture(params=["plain", "async"])
def consume(store, request):
    """``consume(work, **options)`` gives a function that delivers an event to a handler of work."""

    def make(work, **options):
        decorate = webhooks.consumer(store, **{"key": BY_ID, "name": "orders", **options})
        if request.param == "plain":
            return decorate(work)

        async def handler(*args, **kwargs):
            await asyncio.sleep(0)
            return work(*args, **kwargs)

        handle = decorate(handler)
        return lambda *args, **kwargs: asyncio.run(handle(*args, **kwargs))

    return make


class Work:
    """A handler that notes what it was given, and fails as told."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.events = []
        self.attempts = []

    def __call__(self, event, **_):
        self.events.append(event)
        self.attempts.append(webhooks.attempt())
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        return len(self.events)


def the_key(store):
    (record,) = store.scan()
    return record.key


def test_a_handled_event_is_ignored(consume):
    work = Work()
    deliver = consume(work)
    assert [deliver(EVENT), deliver(EVENT), deliver({"id": "evt_2"})] == [1, None, 2]
    assert work.events == [EVENT, {"id": "evt_2"}]
    assert work.attempts == [1, 1]


def test_a_failed_one_runs_again(consume):
    work = Work(KeyError("first"), ValueError("second"))
    deliver = consume(work)
    with pytest.raises(KeyError):
        deliver(EVENT)
    with pytest.raises(ValueError, match="second"):
        deliver(EVENT)
    assert deliver(EVENT) == 3
    assert deliver(EVENT) is None
    assert work.attempts == [1, 1, 1]


@pytest.mark.parametrize("leaving", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_one_that_left_is_taken_over(consume, leaving):
    work = Work(leaving(), KeyError("again"))
    deliver = consume(work)
    with pytest.warns(ResourceWarning), pytest.raises(leaving):
        deliver(EVENT)
    with pytest.raises(KeyError):
        deliver(EVENT)
    assert deliver(EVENT) == 3
    assert deliver(EVENT) is None
    assert work.attempts == [1, 2, 3]
    assert webhooks.attempt() == 1


def test_a_key_that_another_process_holds_is_for_later(store, consume):
    deliver = consume(Work(), retry_after=7)
    deliver(EVENT)
    key = the_key(store)
    store.forget(key)
    other = store.claim(key)
    with pytest.raises(RetryLaterError, match=r"try again in 7 s") as caught:
        deliver(EVENT)
    assert (caught.value.retry_after, caught.value.claim.id) == (7, other.id)
    other.release()
    assert deliver(EVENT) == 2


class TestHeld:
    def leave(self, deliver):
        with pytest.warns(ResourceWarning), pytest.raises(SystemExit):
            deliver(EVENT)

    def test_it_alerts_and_waits_for_a_person(self, store, consume):
        alerts = []
        work = Work(SystemExit())
        deliver = consume(
            work,
            on_crash="hold",
            intent=lambda event: f"ship {event['id']}".encode(),
            on_held=alerts.append,
        )
        self.leave(deliver)
        for count in (1, 2):
            with pytest.raises(HeldDeliveryError, match="resolve") as caught:
                deliver(EVENT)
            assert len(alerts) == count and alerts[-1] is caught.value
        error = caught.value
        assert isinstance(error, idemkey.HeldError)
        assert (error.intent, error.attempt) == (b"ship evt_1", 1)
        assert (error.key, error.claim_id) == (the_key(store), store.lookup(error.key).id)
        assert len(work.events) == 1

        store.resolve(error.key, b"")
        assert deliver(EVENT) is None
        assert len(work.events) == 1

    def test_one_that_is_given_back_runs_again(self, store, consume):
        deliver = consume(Work(SystemExit()), on_crash="hold")
        self.leave(deliver)
        with pytest.raises(HeldDeliveryError) as caught:
            deliver(EVENT)
        store.resolve(caught.value.key, None)
        assert deliver(EVENT) == 2

    def test_an_alert_that_fails_is_seen(self, consume):
        def alert(_):
            raise ConnectionError("no pager")

        deliver = consume(Work(SystemExit()), on_crash="hold", on_held=alert)
        self.leave(deliver)
        with pytest.raises(ConnectionError):
            deliver(EVENT)

    def test_an_async_alert_is_awaited(self, store):
        alerts = []

        async def alert(error):
            await asyncio.sleep(0)
            alerts.append(error.claim_id)

        @webhooks.consumer(store, key=BY_ID, on_crash="hold", on_held=alert)
        async def handle(event):
            raise SystemExit

        self.leave(lambda event: asyncio.run(handle(event)))
        with pytest.raises(HeldDeliveryError) as caught:
            asyncio.run(handle(EVENT))
        assert alerts == [caught.value.claim_id]
        with pytest.raises(TypeError, match="on_held is async"):
            webhooks.consumer(store, key=BY_ID, on_held=alert)(lambda event: None)


class TestKeys:
    def test_handlers_do_not_share_events(self, store, consume):
        work = Work()
        assert consume(work, name="a")(EVENT) == 1
        assert consume(work, name="b")(EVENT) == 2
        assert consume(work, name="a")(EVENT) is None

    def test_without_a_name_it_is_the_functions(self, store):
        def handler(event):
            return "one"

        def other(event):
            return "other"

        decorate = webhooks.consumer(store, key=BY_ID)
        one, again, two = (decorate(function) for function in (handler, handler, other))
        assert [one(EVENT), again(EVENT), two(EVENT)] == ["one", None, "other"]
        assert one.__name__ == "handler" and one.__wrapped__ is handler
        with pytest.raises(TypeError, match=r"needs a name=: .*Work"):
            decorate(Work())

    def test_the_key_is_made_of_all_arguments(self, consume):
        deliver = consume(lambda event, headers: "handled", key=webhooks.header_key("Webhook-Id"))
        assert deliver({}, {"webhook-id": "1"}) == deliver({}, headers={"webhook-id": "2"})
        assert deliver({"x": 1}, headers={"Webhook-ID": "1"}) is None

    @pytest.mark.parametrize("key", ["", b"", None])
    def test_an_empty_key_is_refused(self, store, consume, key):
        work = Work()
        with pytest.raises(webhooks.EmptyKeyError, match="one event"):
            consume(work, key=lambda event: key)(EVENT)
        assert work.events == [] and list(store.scan()) == []

    def test_any_text_and_any_length(self, consume):
        deliver = consume(Work())
        assert [deliver({"id": "\ud800"}), deliver({"id": "\ud800"})] == [1, None]
        assert [deliver({"id": "x" * 5000 + end}) for end in "aba"] == [2, 3, None]


class TestPayload:
    def test_it_is_not_compared(self, consume):
        deliver = consume(Work())
        assert deliver({**EVENT, "sent_at": 1}) == 1
        assert deliver({**EVENT, "sent_at": 2}) is None

    def test_unless_wanted(self, consume):
        deliver = consume(
            Work(), fingerprint=lambda event: idemkey.fingerprint(str(event["amount"]))
        )
        assert deliver({**EVENT, "amount": 1}) == 1
        assert deliver({**EVENT, "amount": 1}) is None
        with pytest.raises(idemkey.MismatchError, match="evt_1"):
            deliver({**EVENT, "amount": 2})


class TestTimes:
    def test_a_week_by_default(self, store, consume):
        consume(Work())(EVENT)
        week = 7 * 24 * 3600
        assert week == webhooks.DEFAULT_TTL
        assert week - 3600 < store.lookup(the_key(store)).expires_in <= week + 2

    def test_ttl(self, store, consume):
        consume(Work(), ttl=idemkey.FOREVER)(EVENT)
        assert store.lookup(the_key(store)).expires_in == idemkey.FOREVER

    def test_a_lease_ends(self, store, consume):
        taken_over = []

        def work(event):
            taken_over.append(webhooks.attempt())
            with store.claim(the_key(store), wait=60) as claim:
                assert claim.outcome is Outcome.RECLAIMED
                claim.complete()

        with pytest.raises(idemkey.LostClaimError):
            consume(work, lease=0.05)(EVENT)
        assert consume(work)(EVENT) is None
        assert taken_over == [1]

    def test_crash_grace(self, consume):
        work = Work(SystemExit())
        deliver = consume(work, crash_grace=3600.0)
        with pytest.warns(ResourceWarning), pytest.raises(SystemExit):
            deliver(EVENT)
        with pytest.raises(RetryLaterError):
            deliver(EVENT)
        assert len(work.events) == 1


def test_a_full_store_runs_nothing(path):
    with idemkey.Store(path + ".small", 2 << 20) as small:
        with pytest.raises(idemkey.FullError):
            for i in range(1 << 20):
                small.claim(f"{i}", ttl=idemkey.FOREVER).complete(bytes(1000))
        work = Work()
        handle = webhooks.consumer(
            small, key=BY_ID, name="orders", intent=lambda event: bytes(4000)
        )(work)
        with pytest.raises(idemkey.FullError):
            handle(EVENT)
        assert work.events == []
        small.check()


class TestAsync:
    def test_many_deliveries_at_once(self, store):
        running, handled = 0, []

        @webhooks.consumer(store, key=BY_ID)
        async def handle(event):
            nonlocal running
            running += 1
            assert running == 1, "two handlers of one event"
            await asyncio.sleep(0.01)
            running -= 1
            handled.append(event["id"])

        async def deliver():
            return await asyncio.gather(*(handle(EVENT) for _ in range(50)), return_exceptions=True)

        told = asyncio.run(deliver())
        assert handled == ["evt_1"]
        assert sum(isinstance(error, RetryLaterError) for error in told) == 49

    def test_a_cancelled_handler_is_taken_over(self, store):
        attempts = []

        @webhooks.consumer(store, key=BY_ID)
        async def handle(event):
            attempts.append(webhooks.attempt())
            if len(attempts) == 1:
                await asyncio.Event().wait()

        async def deliver():
            task = asyncio.create_task(handle(EVENT))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await handle(EVENT)

        with pytest.warns(ResourceWarning):
            asyncio.run(deliver())
        assert attempts == [1, 2]

    def test_attempts_of_concurrent_handlers_are_apart(self, store):
        attempts = {}

        @webhooks.consumer(store, key=BY_ID)
        async def handle(event):
            await asyncio.sleep(0)
            if len(event) > 1:
                raise SystemExit
            attempts[event["id"]] = webhooks.attempt()

        async def deliver():
            await asyncio.gather(handle({"id": "a"}), handle({"id": "b"}))

        with pytest.warns(ResourceWarning), pytest.raises(SystemExit):
            asyncio.run(handle({"id": "a", "leaves": True}))
        asyncio.run(deliver())
        assert attempts == {"a": 2, "b": 1}


class TestErrors:
    def test_they_pickle(self, store):
        claim = store.claim("k")
        later = pickle.loads(pickle.dumps(RetryLaterError("busy", 2.5, claim)))
        assert (str(later), later.retry_after, later.claim) == ("busy", 2.5, None)
        held = HeldDeliveryError("held", b"k", "00ff", 3, b"intent", claim)
        again = pickle.loads(pickle.dumps(held))
        told = (again.key, again.claim_id, again.attempt, again.intent)
        assert (str(again), told, again.claim) == ("held", (b"k", "00ff", 3, b"intent"), None)
        claim.release()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"key": "id"}, "key must be a function, not str"),
            ({"key": None}, "key must be a function, not NoneType"),
            ({"fingerprint": b"0" * 16}, "fingerprint must be a function"),
            ({"intent": b"i"}, "intent must be a function"),
            ({"name": 7}, "name must be a str, not int"),
            ({"ttl": 0}, "ttl is 0"),
            ({"ttl": "7d"}, "ttl must be a number"),
            ({"on_crash": "ignore"}, "on_crash must be"),
            ({"retry_after": -1}, "retry_after is -1"),
            ({"on_held": "pager"}, "on_held must be a function"),
        ],
    )
    def test_bad_options_are_refused_at_the_decoration(self, store, options, message):
        with pytest.raises((TypeError, ValueError), match=message):
            webhooks.consumer(store, **{"key": BY_ID, **options})

    def test_an_async_object_is_awaited(self, store):
        class Handler:
            async def __call__(self, event):
                return "handled"

        handle = webhooks.consumer(store, key=BY_ID, name="orders")(Handler())
        assert asyncio.run(handle(EVENT)) == "handled"

    def test_generators_are_refused(self, store):
        with pytest.raises(TypeError, match="generator"):

            @webhooks.consumer(store, key=BY_ID)
            def handle(event):
                yield

    def test_no_warning_comes_of_it(self, store, consume):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert consume(Work())(EVENT) == 1
        assert store.lookup(the_key(store)).state is State.DONE
