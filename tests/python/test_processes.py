"""Several processes and one region: races, deaths, forks, and waiting across them."""

import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings

import idemkey
import pytest
from children import DEADLINE_S, eventually
from idemkey import Outcome, State

WORKERS = 4
LONG_S = 2 * DEADLINE_S


def claim_and_stay(store, key="k", **options):
    """A child's work: claims, says the outcome, and stays until it is killed."""

    def work(say):
        claim = store.claim(key, **options)
        say(claim.outcome.name)
        while claim.won:
            signal.pause()

    return work


def test_takeover_after_sigkill(store, fork):
    child = fork(claim_and_stay(store, intent=b"pay 7"))
    assert child.hear() == "CLAIMED"
    assert store.claim("k").outcome is Outcome.BUSY
    child.kill()
    with store.claim("k", wait=DEADLINE_S) as claim:
        assert (claim.outcome, claim.attempt, claim.intent) == (Outcome.RECLAIMED, 2, b"pay 7")
        claim.complete(b"v")
    assert store.claim("k").value == b"v"


def test_takeover_without_waiting(store, fork):
    child = fork(claim_and_stay(store))
    child.hear()
    child.kill()

    def taken_over():
        claim = store.claim("k")
        return claim if claim.won else None

    claim = eventually(taken_over)
    assert claim.outcome is Outcome.RECLAIMED
    claim.complete()


def test_a_stopped_owner_keeps_its_claim(store, fork):
    child = fork(claim_and_stay(store))
    child.hear()
    child.signal(signal.SIGSTOP)
    for i in range(1000):
        store.claim(f"{i}").complete(b"v")
    assert store.claim("k", wait=0.3).outcome is Outcome.BUSY
    child.kill()


def test_a_dead_owner_of_a_held_key(store, fork):
    child = fork(claim_and_stay(store, on_crash="hold", intent=b"pay 7"))
    child.hear()
    child.kill()
    claim = store.claim("k", wait=DEADLINE_S)
    assert (claim.outcome, claim.intent, claim.attempt) == (Outcome.HELD, b"pay 7", 1)
    assert store.lookup("k").held
    store.resolve("k", b"paid by hand")
    assert store.claim("k").value == b"paid by hand"


def test_crash_grace(store, fork):
    child = fork(claim_and_stay(store, crash_grace=LONG_S))
    child.hear()
    child.kill()
    assert store.claim("k", wait=0.3).outcome is Outcome.BUSY
    assert store.forget("k", force=True)


def test_lookup_sees_the_death(store, fork):
    child = fork(claim_and_stay(store))
    child.hear()
    assert store.lookup("k").state is State.PENDING
    child.kill()
    eventually(lambda: store.lookup("k").state is State.ORPHANED)
    assert store.wait("k", DEADLINE_S).state is State.ORPHANED


@pytest.mark.parametrize("end", ["complete", "release", "abandon"])
def test_waiters_are_woken(store, fork, end):
    def owner(say):
        claim = store.claim("k")
        say("claimed")
        eventually(lambda: store.lookup("go"))
        getattr(claim, end)()

    def waiter(say):
        say("waits")
        with store.claim("k", wait=LONG_S) as claim:
            say(claim.outcome.name)
            if claim.won:
                claim.complete()

    first = fork(owner)
    first.hear()
    second = fork(waiter)
    second.hear()
    store.claim("go").complete()
    expected = {"complete": "DONE", "release": "CLAIMED", "abandon": "RECLAIMED"}[end]
    assert second.hear() == expected
    first.join()
    second.join()


def test_races_for_one_key(store, fork):
    rounds = 300

    def racer(say):
        for i in range(rounds):
            with store.claim(f"k{i}", wait=LONG_S) as claim:
                if claim.won:
                    claim.complete(f"{os.getpid()}".encode())
                    say(i)
        say("end")

    racers = [fork(racer) for _ in range(WORKERS)]
    wins = []
    for child in racers:
        while (said := child.hear()) != "end":
            wins.append((said, child.pid))
        child.join()
    assert sorted(i for i, _ in wins) == list(range(rounds))
    assert all(store.claim(f"k{i}").value == f"{pid}".encode() for i, pid in wins)


def test_racing_workers_are_killed(store, fork, rng):
    """One key; each winner increments a number in a file, unprotected by anything else."""
    rounds, kills = 200, 10
    counts = store.path + ".count"
    with open(counts, "wb"):
        pass

    def worker(say):
        for i in range(rounds):
            with store.claim(f"k{i}", wait=LONG_S) as claim:
                if claim.won:
                    if claim.outcome is Outcome.CLAIMED:
                        with open(counts, "ab", buffering=0) as file:
                            file.write(f"{i}\n".encode())
                    claim.complete(b"v")
            say(i)

    workers = [fork(worker) for _ in range(WORKERS)]
    for _ in range(kills):
        victim = rng.randrange(WORKERS)
        for _ in range(rng.randrange(1, 10)):
            workers[victim].hear()
        workers[victim].kill()
        workers[victim].end()
        workers[victim] = fork(worker)
    for child in workers:
        while child.hear() != rounds - 1:
            pass
        child.join()
    with open(counts) as file:
        ran = [int(line) for line in file]
    assert len(ran) == len(set(ran)), "an operation was begun twice as a first attempt"
    assert all(store.claim(f"k{i}").value == b"v" for i in range(rounds))


def test_resize_under_load(path, fork):
    limit = 2 << 20
    keys = 3000

    with idemkey.Store(path, limit, max_value_bytes=4096) as store:

        def worker(say):
            for i in range(keys):
                while True:
                    limit = store.stats()["max_bytes"]
                    try:
                        store.claim(f"{os.getpid()}:{i}").complete(bytes(2000))
                        break
                    except idemkey.FullError:
                        say(limit)
                        eventually(lambda limit=limit: store.stats()["max_bytes"] > limit)
            say("end")

        children = [fork(worker) for _ in range(WORKERS)]
        for child in children:
            while (full := child.hear()) != "end":
                if full >= limit:
                    limit = full + (2 << 20)
                    store.resize(limit)
            child.join()
        assert store.stats()["max_bytes"] >= limit > 2 << 20
        assert store.stats()["done_keys"] == WORKERS * keys
        store.check()


class TestFork:
    def test_the_store_serves_parent_and_child(self, store, fork):
        store.claim("mine").complete(b"parent")

        def child(say):
            store.claim("its").complete(b"child")
            say(store.claim("mine").value.decode())
            store.check()

        started = fork(child)
        assert started.hear() == "parent"
        started.join()
        assert store.claim("its").value == b"child"

    def test_the_parents_claims_are_nothing_to_the_child(self, store, fork):
        claims = {end: store.claim(end) for end in ("complete", "release", "abandon", "drop")}

        def child(say):
            for end in ("complete", "release", "abandon"):
                try:
                    getattr(claims[end], end)()
                except idemkey.LostClaimError:
                    say(end)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                claims.clear()
                gc.collect()
            say(store.claim("drop").outcome.name)

        started = fork(child)
        heard = [started.hear() for _ in range(4)]
        assert heard == ["complete", "release", "abandon", "BUSY"]
        started.join()
        for claim in claims.values():
            claim.complete(b"v")
        assert store.claim("drop").value == b"v"

    @pytest.mark.parametrize("exception", [None, KeyError, SystemExit])
    def test_leaving_in_the_child_does_nothing(self, store, fork, exception):
        with store.claim("k") as claim:

            def child(say):
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    claim.__exit__(exception, exception and exception(), None)
                say(store.claim("k").outcome.name)

            started = fork(child)
            assert started.hear() == "BUSY"
            started.join()
            claim.complete(b"v")

    def test_the_childs_death_frees_only_its_own(self, store, fork):
        mine = store.claim("mine")
        child = fork(claim_and_stay(store, "its"))
        child.hear()
        child.kill()
        with store.claim("its", wait=DEADLINE_S) as claim:
            assert claim.outcome is Outcome.RECLAIMED
            claim.complete()
        assert store.claim("mine").outcome is Outcome.BUSY
        mine.complete()

    def test_grandchildren(self, store, fork):
        def child(say):
            claim = store.claim("child's")
            pid = os.fork()
            if pid == 0:
                won = store.claim("grandchild's").won and not store.claim("child's").won
                os._exit(0 if won else 1)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            claim.complete(b"v")
            say(status)

        assert fork(child).hear() == 0
        assert store.claim("child's").value == b"v"
        claim = store.claim("grandchild's", wait=DEADLINE_S)
        assert claim.outcome is Outcome.RECLAIMED
        claim.complete()

    def test_closing_in_the_child_leaves_the_parents_store(self, store, fork):
        fork(lambda say: store.close()).join()
        store.claim("k").complete(b"v")
        assert store.claim("k").value == b"v"


def test_a_spawned_process_gets_the_pickled_store(store):
    script = (
        "import pickle, sys; store = pickle.load(sys.stdin.buffer);"
        "store.claim('k').complete(b'spawned')"
    )
    subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        input=pickle.dumps(store),
        check=True,
        timeout=DEADLINE_S,
    )
    assert store.claim("k").value == b"spawned"


def test_a_claim_left_at_exit_is_abandoned(store):
    script = (
        "import pickle, sys; store = pickle.load(sys.stdin.buffer);"
        "claim = store.claim('k', intent=b'i')"
    )
    subprocess.run(
        [sys.executable, "-c", script], input=pickle.dumps(store), check=True, timeout=DEADLINE_S
    )
    claim = store.claim("k")
    assert (claim.outcome, claim.intent) == (Outcome.RECLAIMED, b"i")
    claim.complete()


def test_signals_reach_python_while_a_claim_waits(store, fork):
    class Alarm(Exception):
        pass

    def ring(number, frame):
        raise Alarm

    mine = store.claim("k")

    def child(say):
        signal.signal(signal.SIGUSR1, ring)
        for waiting in (lambda: store.claim("k", wait=LONG_S), lambda: store.wait("k", LONG_S)):
            timer = threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGUSR1])
            timer.start()
            try:
                waiting()
            except Alarm:
                say("interrupted")
            timer.join()

    started = fork(child)
    assert [started.hear(), started.hear()] == ["interrupted"] * 2
    started.join()
    mine.release()
