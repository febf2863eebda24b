"""One store and many threads."""

import threading

from idemkey import Outcome

THREADS = 8
ROUNDS = 300


def in_threads(work):
    """Runs ``work(number)`` in all threads at once, and raises what they raise."""
    begin = threading.Barrier(THREADS)
    failures = []

    def body(number):
        begin.wait()
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=body, args=[number]) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_each_key_is_won_once(store):
    wins = []

    def work(number):
        for i in range(ROUNDS):
            claim = store.claim(f"k{i}")
            if claim.won:
                wins.append(i)
                claim.complete(f"{number}".encode())
            assert claim.outcome in (Outcome.CLAIMED, Outcome.BUSY, Outcome.DONE)

    in_threads(work)
    assert sorted(wins) == list(range(ROUNDS))


def test_one_key_claimed_and_released(store):
    holders = []

    def work(number):
        for _ in range(ROUNDS):
            claim = store.claim("k")
            if claim.won:
                holders.append(number)
                assert holders == [number], "two threads hold the key"
                holders.clear()
                claim.release()

    in_threads(work)
    assert store.lookup("k") is None


def test_replies_do_not_mix(store):
    for i in range(50):
        store.claim(f"{i}").complete(f"v{i}".encode() * 100)
        store.claim(f"o{i}", intent=f"i{i}".encode() * 100, on_crash="hold").abandon()

    def work(number):
        for i in range(ROUNDS * 10):
            n = (i * 7 + number) % 50
            assert store.claim(f"{n}").value == f"v{n}".encode() * 100
            assert store.claim(f"o{n}").intent == f"i{n}".encode() * 100

    in_threads(work)


def test_waiting_threads_leave_the_interpreter_to_others(store):
    mine = store.claim("k")
    values = []

    def work(number):
        if number:
            values.append(store.claim("k", wait=60).value)
        else:
            mine.complete(b"v")

    in_threads(work)
    assert values == [b"v"] * (THREADS - 1)


def test_threads_come_and_go(store):
    def work(number):
        store.claim(f"{number}:{threading.get_ident()}").release()

    for _ in range(50):
        in_threads(work)
    assert store.stats()["slots_used"] <= THREADS + 2
