"""Look-ups, and the calls on keys that are not claims."""

import threading

import idemkey
import pytest
from children import eventually
from idemkey import State


def test_lookup(store):
    assert store.lookup("k") is None
    mark = idemkey.fingerprint("request")
    claim = store.claim("k", mark, ttl=60, lease=30, intent=b"pay 7")
    record = store.lookup("k")
    assert (record.key, record.id, record.state) == (b"k", claim.id, State.PENDING)
    assert (record.attempt, record.held, record.kept) == (1, False, False)
    assert (record.intent, record.value, record.fingerprint) == (b"pay 7", None, mark)
    assert 29 < record.lease_left <= 31
    assert record.done_age is None
    claim.complete(b"v")
    record = store.lookup("k")
    assert (record.state, record.value, record.kept) == (State.DONE, b"v", True)
    assert (record.lease_left, record.fingerprint) == (None, mark)
    assert record.done_age >= 0
    assert record.age >= record.done_age
    assert 59 < record.expires_in <= 62


def test_lookup_of_an_orphan(store):
    store.claim("k", intent=b"i").abandon()
    record = store.lookup("k")
    assert (record.state, record.held, record.intent) == (State.ORPHANED, False, b"i")
    store.claim("h", on_crash="hold").abandon()
    assert store.lookup("h").held


def test_forget(store):
    assert store.forget("k") is False
    store.claim("k").complete(b"v")
    assert store.forget("k") is True
    assert store.lookup("k") is None
    mine = store.claim("k")
    with pytest.raises(idemkey.BusyError):
        store.forget("k")
    assert store.forget("k", force=True)
    with pytest.raises(idemkey.LostClaimError):
        mine.complete(b"late")
    assert store.lookup("k") is None


def test_touch(store):
    with pytest.raises(idemkey.NotFoundError):
        store.touch("k", 60)
    claim = store.claim("k")
    with pytest.raises(idemkey.BusyError):
        store.touch("k", 60)
    claim.complete(b"v", ttl=10)
    store.touch("k", idemkey.FOREVER)
    assert store.lookup("k").expires_in == idemkey.FOREVER
    store.touch("k", 60)
    assert 59 < store.lookup("k").expires_in <= 62
    assert store.claim("k").value == b"v"


def test_resolve(store):
    with pytest.raises(idemkey.NotFoundError):
        store.resolve("k", b"v")
    claim = store.claim("k", on_crash="hold")
    with pytest.raises(idemkey.BusyError):
        store.resolve("k", b"v")
    claim.abandon()
    store.resolve("k", b"v", ttl=60)
    assert store.claim("k").value == b"v"
    with pytest.raises(idemkey.NotFoundError):
        store.resolve("k", b"other")
    assert store.claim("k").value == b"v"


def test_resolve_as_not_happened(store):
    store.claim("k", on_crash="hold").abandon()
    store.resolve("k", None)
    claim = store.claim("k")
    assert (claim.outcome, claim.attempt) == (idemkey.Outcome.CLAIMED, 1)
    claim.release()


def test_resolve_as_done_without_a_value(store):
    store.claim("k", on_crash="hold").abandon()
    store.resolve("k", b"")
    assert store.claim("k").value == b""


def test_waiting(store):
    assert store.wait("k", 0) is None
    mine = store.claim("k")
    with pytest.raises(idemkey.WaitTimeoutError):
        store.wait("k", 0)
    with pytest.raises(TimeoutError):
        store.wait("k", 0.25)  # more than one slice
    answers = []
    waiter = threading.Thread(target=lambda: answers.append(store.wait("k", 60)))
    waiter.start()
    mine.complete(b"v")
    waiter.join()
    assert answers[0].value == b"v"


def test_waiting_for_a_release(store):
    mine = store.claim("k")
    answers = []
    waiter = threading.Thread(target=lambda: answers.append(store.wait("k", 60)))
    waiter.start()
    mine.release()
    waiter.join()
    assert answers == [None]


def test_scan(store):
    assert list(store.scan()) == []
    values = {f"k{i}".encode(): b"v" * i for i in range(600)}
    for key, value in values.items():
        store.claim(key).complete(value)
    store.claim("orphan", intent=bytes(500)).abandon()
    seen = list(store.scan())
    assert {record.key: record.value for record in seen} == {**values, b"orphan": None}
    assert len(seen) == len(values) + 1
    assert [record.intent for record in seen if record.key == b"orphan"] == [bytes(500)]


def test_scan_while_keys_come_and_go(store):
    stay = {f"stay{i}".encode() for i in range(300)}
    for key in stay:
        store.claim(key).complete()
    seen = []
    for i, record in enumerate(store.scan()):
        seen.append(record.key)
        store.claim(f"come{i}").complete()
        store.forget(f"come{i - 5}")
        if i > 100_000:
            break
    found = [key for key in seen if key in stay]
    assert sorted(found) == sorted(stay)


def test_stats(store):
    before = store.stats()
    store.claim("k").complete(b"v" * 100)
    mine = store.claim("l")
    store.claim("m").abandon()
    after = store.stats()
    counted = [
        after[name] - before[name] for name in ("pending_keys", "orphaned_keys", "done_keys")
    ]
    assert counted == [1, 1, 1]
    assert after["used_bytes"] > before["used_bytes"]
    assert after["key_max"] == 1024
    assert after["slots_max"] >= 4096
    assert all(type(number) is int for number in after.values())
    mine.release()


def test_check(store):
    store.claim("k").complete(b"v" * 300)
    found = store.check()
    assert found["violations"] == 0
    assert found["records"] == 1
    assert found["values"] == 1


def test_sweep(store):
    for i in range(200):
        store.claim(f"{i}").complete(b"v" * 100)
        store.forget(f"{i}")
    assert store.sweep(1) >= 0
    assert store.sweep() >= 0
    assert store.stats()["done_keys"] == 0


def test_a_retry_storm_leaves_nothing(store):
    """A key that is claimed and given back over and over."""
    used = []
    for _ in range(5):
        for _ in range(5000):
            store.claim("k", intent=bytes(100)).release()
        used.append(store.stats()["used_bytes"])
    assert used[-1] <= used[0]
    assert store.lookup("k") is None


def test_full_then_resized(path):
    with idemkey.Store(path, 1 << 20, max_value_bytes=1024) as store:
        granted = store.claim("granted")
        with pytest.raises(idemkey.FullError):
            for i in range(1_000_000):
                store.claim(f"{i}").complete(bytes(1000))
        granted.complete(b"v")
        assert store.claim("granted").outcome is idemkey.Outcome.DONE
        store.resize(4 << 20)
        assert store.stats()["max_bytes"] >= 4 << 20
        store.claim("room").complete(b"v")
        assert store.claim("0").value == bytes(1000)
        store.check()


def test_room_comes_back_with_expiry(path):
    with idemkey.Store(path, 1 << 20, max_value_bytes=1024) as store:
        kept = 0
        with pytest.raises(idemkey.FullError):
            for i in range(1_000_000):
                store.claim(f"{i}", ttl=1).complete(bytes(1000))
                kept = i

        def claimed():
            try:
                store.claim("new").release()
            except idemkey.FullError:
                return False
            return True

        eventually(claimed)
        assert kept > 100
        store.check()
