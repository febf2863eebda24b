"""Callers that are killed, and others that use the same key: each thing is made once."""

import json
import signal

import httpx
import idemkey
import pytest
from children import DEADLINE_S, eventually
from idemkey import State
from idemkey.client import Caller, Done, RetriesExhaustedError, Retry, UnknownOutcomeError, Verdict
from idemkey.client.httpx import HttpxTransport
from upstream import InTurn, Upstream

LONG_S = 2 * DEADLINE_S
WORKERS = 3


@pytest.fixture
def server(fork):
    return Upstream(fork)


@pytest.fixture
def http():
    with httpx.Client(trust_env=False) as client:
        yield client


def make(store, client, **options):
    options = {"crash_grace": 0.0, "timeout": LONG_S, "returned_id": "id", **options}
    return Caller(store, client, api="things", **{"retry": Retry(deadline=LONG_S), **options})


def post(caller, server, key="k"):
    return caller.request("POST", server.url, json={"reference": key}, key=key, context={"n": 1})


def finds(server, asked=None):
    """A reconcile function that looks for the reference among what the server has made."""

    def reconcile(intent):
        if asked is not None:
            asked.append(intent)
        made = [json.loads(body)["reference"] for body in server.made]
        wanted = intent.json()["reference"]
        return Done(f"found_{made.index(wanted)}") if wanted in made else Verdict.NOT_DONE

    return reconcile


class Dying(HttpxTransport):
    """Stops, to be killed, before anything is sent or once the reply is there."""

    def __init__(self, client, say, where):
        super().__init__(client)
        self._say, self._where = say, where

    def send(self, request, timeout):
        if self._where == "before":
            self._say("there")
            signal.pause()
        answer = super().send(request, timeout)
        self._say("there")
        signal.pause()
        return answer


def die(store, server, fork, where, idempotent):
    """A caller is killed: before it sends, while the server runs, or with the reply unread."""
    if where == "running":
        server.plan({"do": "hang"})

    def work(say):
        with httpx.Client(trust_env=False) as client:
            transport = client if where == "running" else Dying(client, say, where)
            post(make(store, transport, server_idempotent=idempotent), server)

    child = fork(work)
    if where == "running":
        server.await_made(1)
    else:
        assert child.hear() == "there"
    child.kill()
    eventually(lambda: [record.state for record in store.scan()] == [State.ORPHANED])


@pytest.fixture(params=["before", "running", "answered"])
def where(request):
    return request.param


@pytest.fixture(params=[True, False], ids=["idempotent", "not-idempotent"])
def idempotent(request):
    return request.param


@pytest.fixture(params=["request", "recover"])
def again(request):
    """Goes on after the crash: by the same call, or by looking for what is unfinished."""

    def go_on(caller, server):
        if request.param == "request":
            return post(caller, server)
        (found,) = caller.recover()
        if found.error:
            raise found.error
        assert found.key == "k"
        return found.answer

    return go_on


class TestKilled:
    def test_reconciling_makes_it_once(self, store, fork, server, http, where, idempotent, again):
        die(store, server, fork, where, idempotent)
        asked = []
        caller = make(store, http, server_idempotent=idempotent, reconcile=finds(server, asked))
        answer = again(caller, server)
        assert answer.returned_id == ("thing_1" if where == "before" else "found_0")
        assert server.made == ['{"reference":"k"}'] and len(server.seen) == 1
        (intent,) = asked
        assert (intent.method, intent.url, intent.context) == ("POST", server.url, {"n": 1})
        assert post(caller, server).replayed and len(asked) == 1
        assert caller.recover() == []

    def test_an_idempotent_server_needs_no_reconciling(
        self, store, fork, server, http, where, again
    ):
        die(store, server, fork, where, True)
        answer = again(make(store, http), server)
        assert answer.returned_id == "thing_1" and server.made == ['{"reference":"k"}']
        assert (answer.header("Idempotent-Replayed") == "true") == (where != "before")

    def test_without_either_nothing_is_sent_again(self, store, fork, server, http, where, again):
        die(store, server, fork, where, False)
        sent = len(server.seen)
        caller = make(store, http, server_idempotent=False)
        for _ in range(2):
            with pytest.raises(UnknownOutcomeError) as caught:
                again(caller, server)
            assert caught.value.intent.json() == {"reference": "k"}
        assert len(server.seen) == sent
        caller.resolve("k", Done("by hand"))
        assert post(caller, server).returned_id == "by hand"

    def test_reconciling_is_what_dies(self, store, fork, server, http, idempotent):
        die(store, server, fork, "before", idempotent)

        def reconcile_and_stay(say):
            def stay(intent):
                say("asked")
                signal.pause()

            with httpx.Client() as client:
                make(store, client, server_idempotent=idempotent, reconcile=stay).recover()

        child = fork(reconcile_and_stay)
        assert child.hear() == "asked"
        child.kill()
        caller = make(store, http, server_idempotent=idempotent, reconcile=finds(server))
        assert post(caller, server).returned_id == "thing_1" and len(server.seen) == 1


class TestTogether:
    def test_a_key_that_another_process_sends_is_busy(self, store, fork, server, http):
        server.plan({"do": "hang"})

        def work(say):
            with httpx.Client(trust_env=False) as client:
                post(make(store, client), server)

        child = fork(work)
        server.await_made(1)
        caller = make(store, http)
        with pytest.raises(idemkey.BusyError):
            post(caller, server)
        assert caller.recover() == [] and len(server.seen) == 1
        child.kill()

    def test_a_second_process_may_wait_for_the_answer(self, store, fork, server, http):
        server.plan({"status": 503, "headers": {"Retry-After": "0"}})

        def work(say):
            def sleep(seconds):
                say("sleeps")
                eventually(lambda: store.lookup("go"))

            with httpx.Client(trust_env=False) as client:
                post(make(store, client, sleep=sleep), server)

        def wait(say):
            with httpx.Client(trust_env=False) as client:
                caller = make(store, client)
                say("waits")
                answer = caller.request(
                    "POST", server.url, json={"reference": "k"}, key="k", wait=LONG_S
                )
                say([answer.replayed, answer.returned_id])

        first = fork(work)
        assert first.hear() == "sleeps"
        second = fork(wait)
        assert second.hear() == "waits"
        store.claim("go").complete()
        assert second.hear() == [True, "thing_1"]
        first.join()
        second.join()
        assert len(server.seen) == 2

    def test_recovering_at_once_makes_each_once(self, store, fork, server, idempotent):
        keys = [f"k{i}" for i in range(20)]

        def leave(say):
            class Gone(HttpxTransport):
                def send(self, request, timeout):
                    raise KeyboardInterrupt

            with httpx.Client() as client:
                caller = make(store, Gone(client), server_idempotent=idempotent)
                for key in keys:
                    with pytest.raises(KeyboardInterrupt):
                        post(caller, server, key)

        def recover(say):
            say("ready")
            eventually(lambda: store.lookup("go"))
            with httpx.Client(trust_env=False) as client:
                caller = make(store, client, server_idempotent=idempotent, reconcile=finds(server))
                say([[each.key, str(each.error)] for each in caller.recover() if each.error])

        fork(leave).join()
        children = [fork(recover) for _ in range(WORKERS)]
        assert [child.hear() for child in children] == ["ready"] * WORKERS
        store.claim("go").complete()
        assert [child.hear() for child in children] == [[]] * WORKERS
        for child in children:
            child.join()
        assert sorted(json.loads(body)["reference"] for body in server.made) == sorted(keys)


def test_killed_at_random_moments_each_thing_is_made_once(store, fork, rng):
    """The server does not know keys, and takes one request at a time: so what it has made when it
    is asked is all that the dead have brought to it."""
    server = Upstream(fork, InTurn)
    keys, kills = [f"k{i}" for i in range(60)], 12

    def worker(say):
        with httpx.Client(trust_env=False) as client:
            caller = make(store, client, server_idempotent=False, reconcile=finds(server))
            left = list(keys)
            while left:
                key = left.pop(0)
                try:
                    post(caller, server, key)
                except idemkey.BusyError:
                    left.append(key)
                say(len(left))
            say("end")

    workers = [fork(worker) for _ in range(WORKERS)]
    for _ in range(kills):
        victim = rng.randrange(WORKERS)
        for _ in range(rng.randrange(1, 6)):
            if workers[victim].hear() == "end":
                break
        workers[victim].kill()
        workers[victim].end()
        workers[victim] = fork(worker)
    for child in workers:
        while child.hear() != "end":
            pass
        child.join()
    assert sorted(json.loads(body)["reference"] for body in server.made) == sorted(keys)
    assert all(record.state is State.DONE for record in store.scan())


def test_a_caller_that_gives_up_is_no_owner(store, fork, server, http):
    """Its process lives on, and another may recover what it left."""
    server.plan({"do": "drop"})

    def work(say):
        with httpx.Client(trust_env=False) as client:
            with pytest.raises(RetriesExhaustedError):
                post(make(store, client, retry=Retry(attempts=1)), server)
            say("gave up")
            signal.pause()

    child = fork(work)
    assert child.hear() == "gave up"
    (found,) = make(store, http).recover()
    assert found.answer.header("Idempotent-Replayed") == "true"
    child.kill()
