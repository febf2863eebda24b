"""One process's claims: outcomes, endings, and what happens to those that nobody ends."""

import gc
import pickle
import resource
import threading
import warnings
import weakref

import idemkey
import pytest
from children import eventually
from idemkey import Outcome, State
from idemkey.low_level import ffi

FIRST = idemkey.fingerprint("first")
SECOND = idemkey.fingerprint("second")


def outcome(store, key="k", **options):
    """What the next claimer hears; a claim that is won is given back."""
    claim = store.claim(key, **options)
    if claim.won:
        claim.release()
    return claim.outcome


def test_a_new_key(store):
    claim = store.claim("k", FIRST, ttl=60, intent=b"pay 7")
    assert (claim.outcome, claim.won, claim.attempt) == (Outcome.CLAIMED, True, 1)
    assert (claim.key, claim.state, claim.value) == (b"k", State.PENDING, None)
    assert int(claim.id, 16) and len(claim.id) == 16
    assert 0 < claim.expires_in <= 61
    claim.release()


def test_busy(store):
    mine = store.claim("k", intent=b"pay 7")
    claim = store.claim("k")
    assert (claim.outcome, claim.won, claim.state) == (Outcome.BUSY, False, State.PENDING)
    assert (claim.id, claim.attempt, claim.lease_left) == (mine.id, 1, None)
    assert claim.age >= 0
    mine.release()


def test_done(store):
    store.claim("k", ttl=60).complete(b"receipt")
    claim = store.claim("k")
    assert (claim.outcome, claim.won, claim.state) == (Outcome.DONE, False, State.DONE)
    assert (claim.value, claim.kept) == (b"receipt", True)
    assert claim.done_age >= 0
    assert 59 < claim.expires_in <= 62


def test_done_without_a_value(store):
    store.claim("k").complete()
    claim = store.claim("k")
    assert (claim.outcome, claim.value, claim.kept) == (Outcome.DONE, b"", True)


@pytest.mark.parametrize("size", [1, 64, 255, 256, 257, 4096, 200_000])
def test_values_and_intents_of_all_sizes(store, size, rng):
    value, intent = rng.randbytes(size), rng.randbytes(min(size, 4096))
    claim = store.claim("k", intent=intent)
    assert store.lookup("k").intent == intent
    claim.abandon()
    claim = store.claim("k")
    assert (claim.outcome, claim.intent) == (Outcome.RECLAIMED, intent)
    claim.complete(value)
    assert store.claim("k").value == store.lookup("k").value == value


def test_a_claim_keeps_its_answer(store):
    store.claim("k").complete(b"small")
    store.claim("big").complete(bytes(5000))
    small, big = store.claim("k"), store.claim("big")
    store.forget("k")
    store.forget("big")
    for i in range(200):
        store.claim(f"{i}").complete(b"x" * 100)
        store.claim(f"{i}")
    assert (small.value, big.value) == (b"small", bytes(5000))


def test_large_answers_give_their_memory_back(store):
    size, rounds = 200_000, 3000
    store.claim("k").complete(bytes(size))
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(rounds):
        store.claim("k")
        store.lookup("k")
    after_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (after_kb - before_kb) * 1024 < size * rounds / 10


def test_mismatch(store):
    claim = store.claim("k", FIRST)
    other = store.claim("k", SECOND)
    assert (other.outcome, other.won, other.id) == (Outcome.MISMATCH, False, claim.id)
    assert (other.state, other.fingerprint) == (State.PENDING, FIRST)
    claim.complete(b"v")
    other = store.claim("k", SECOND)
    assert (other.outcome, other.state, other.value) == (Outcome.MISMATCH, State.DONE, None)
    assert outcome(store, fingerprint=FIRST) is Outcome.DONE
    assert outcome(store) is Outcome.DONE


def test_release_frees_the_key(store):
    store.claim("k").release()
    assert store.lookup("k") is None
    claim = store.claim("k")
    assert (claim.outcome, claim.attempt) == (Outcome.CLAIMED, 1)
    claim.release()


def test_abandon_leaves_it_to_the_next(store):
    store.claim("k", intent=b"pay 7").abandon()
    assert store.lookup("k").state is State.ORPHANED
    claim = store.claim("k", intent=b"other")
    assert (claim.outcome, claim.won, claim.attempt) == (Outcome.RECLAIMED, True, 2)
    assert claim.intent == b"pay 7"
    claim.complete(b"v")
    assert store.claim("k").value == b"v"


def test_release_of_a_later_attempt_orphans(store):
    store.claim("k").abandon()
    store.claim("k").release()
    claim = store.claim("k")
    assert (claim.outcome, claim.attempt) == (Outcome.RECLAIMED, 3)
    claim.complete()


def test_hold_and_resolve(store):
    store.claim("k", on_crash="hold", intent=b"pay 7").abandon()
    claim = store.claim("k")
    assert (claim.outcome, claim.won, claim.held) == (Outcome.HELD, False, True)
    assert (claim.intent, claim.attempt) == (b"pay 7", 1)
    store.resolve("k", b"paid by hand")
    assert store.claim("k").value == b"paid by hand"


@pytest.mark.parametrize("end", ["complete", "release", "abandon"])
def test_ending_twice_is_refused(store, end):
    claim = store.claim("k")
    claim.complete(b"v")
    with pytest.raises(idemkey.LostClaimError):
        getattr(claim, end)()
    assert store.claim("k").value == b"v"


@pytest.mark.parametrize("end", ["complete", "release", "abandon"])
def test_only_who_has_won_may_end(store, end):
    mine = store.claim("k")
    with pytest.raises((idemkey.LostClaimError, ValueError)):
        getattr(store.claim("k"), end)()
    mine.complete(b"mine")
    assert store.claim("k").value == b"mine"


def test_ttl_at_completion(store):
    store.claim("k", ttl=60).complete(b"v", ttl=idemkey.FOREVER)
    assert store.claim("k").expires_in == idemkey.FOREVER
    store.claim("l", ttl=idemkey.FOREVER).complete(b"v", ttl=60)
    assert 59 < store.claim("l").expires_in <= 62


def test_expiry(store):
    store.claim("k", ttl=1).complete(b"v")
    assert outcome(store) is Outcome.DONE
    eventually(lambda: store.lookup("k") is None)
    assert outcome(store) is Outcome.CLAIMED


def test_a_living_owners_claim_outlives_its_ttl(store):
    mine = store.claim("k", ttl=0.001)
    store.claim("clock", ttl=1).complete()
    eventually(lambda: store.lookup("clock") is None)
    assert outcome(store) is Outcome.BUSY
    mine.complete(b"late", ttl=60)
    assert store.claim("k").value == b"late"


def test_lease(store):
    mine = store.claim("k", lease=0.05)
    assert 0 < mine.lease_left <= 0.1
    with store.claim("k", wait=30) as claim:
        assert (claim.outcome, claim.attempt) == (Outcome.RECLAIMED, 2)
        with pytest.raises(idemkey.LostClaimError):
            mine.complete(b"late")
        claim.complete(b"in time")
    assert store.claim("k").value == b"in time"


def test_renewing(store):
    claim = store.claim("k", lease=0.05)
    claim.renew(60)
    assert 50 < store.claim("k").lease_left <= 61
    claim.renew(None)
    assert store.claim("k").lease_left is None
    claim.complete()
    with pytest.raises(idemkey.LostClaimError):
        claim.renew(1)


def test_waiting_in_vain(store):
    mine = store.claim("k")
    assert store.claim("k", wait=0.01).outcome is Outcome.BUSY
    mine.release()


def test_waiting_for_another_thread(store):
    mine = store.claim("k")
    answers = []
    waiter = threading.Thread(target=lambda: answers.append(store.claim("k", wait=60).value))
    waiter.start()
    mine.complete(b"v")
    waiter.join()
    assert answers == [b"v"]


def test_completing_in_another_thread(store):
    claim = store.claim("k")
    thread = threading.Thread(target=claim.complete, args=[b"v"])
    thread.start()
    thread.join()
    assert store.claim("k").value == b"v"


def test_too_big(path):
    with idemkey.Store(path, 16 << 20, max_value_bytes=1000) as store:
        claim = store.claim("k")
        with pytest.raises(idemkey.TooBigError, match="1001"):
            claim.complete(bytes(1001))
        claim.complete(bytes(1000))
        assert store.claim("k").value == bytes(1000)
        other = store.claim("l")
        other.complete(bytes(1001), allow_not_kept=True)
        assert not other.kept
        again = store.claim("l")
        assert (again.outcome, again.value, again.kept) == (Outcome.DONE, None, False)
        store.check()


class TestContextManager:
    def test_completing_inside(self, store):
        with store.claim("k") as claim:
            claim.complete(b"v")
        assert store.claim("k").value == b"v"

    def test_not_won(self, store):
        mine = store.claim("k")
        with store.claim("k"):
            pass
        assert outcome(store) is Outcome.BUSY
        mine.release()

    def test_an_exception_releases(self, store):
        with pytest.raises(KeyError), store.claim("k"):
            raise KeyError
        assert outcome(store) is Outcome.CLAIMED

    def test_an_exception_abandons_a_later_attempt(self, store):
        store.claim("k").abandon()
        with pytest.raises(KeyError), store.claim("k"):
            raise KeyError
        assert outcome(store) is Outcome.RECLAIMED

    @pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
    def test_other_exceptions_abandon(self, store, kind):
        with pytest.raises(kind), pytest.warns(ResourceWarning, match="k"), store.claim("k"):
            raise kind
        assert outcome(store) is Outcome.RECLAIMED

    def test_a_warning_made_an_error_hides_no_exception(self, store):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(SystemExit), store.claim("k"):
                raise SystemExit
            with pytest.raises(ResourceWarning), store.claim("l"):
                pass
        assert outcome(store) is outcome(store, "l") is Outcome.RECLAIMED

    def test_leaving_abandons(self, store):
        with pytest.warns(ResourceWarning, match="complete, release or abandon"), store.claim("k"):
            pass
        assert outcome(store) is Outcome.RECLAIMED

    def test_a_lost_claim_is_nobodys(self, store):
        with store.claim("k") as claim:
            store.forget("k", force=True)
        assert claim.won
        assert outcome(store) is Outcome.CLAIMED

    def test_a_lost_claim_hides_no_exception(self, store):
        with pytest.raises(KeyError), store.claim("k"):
            store.forget("k", force=True)
            raise KeyError
        assert outcome(store) is Outcome.CLAIMED

    @pytest.mark.parametrize("value", ["no bytes", bytes(17 << 20)])
    def test_after_a_failed_completion_it_is_not_released(self, store, value):
        with pytest.raises((TypeError, idemkey.TooBigError)), store.claim("k") as claim:
            claim.complete(value)
        assert outcome(store) is Outcome.RECLAIMED


class TestGarbage:
    def test_it_is_abandoned(self, store):
        with pytest.warns(ResourceWarning, match="b'k'"):
            store.claim("k")
        assert outcome(store) is Outcome.RECLAIMED

    def test_ended_claims_go_in_silence(self, store):
        for end in ("complete", "release", "abandon"):
            claim = store.claim(end)
            getattr(claim, end)()
            del claim

    def test_no_reference_cycles(self, path):
        gc.collect()
        gc.disable()
        try:
            store = idemkey.Store(path, 16 << 20)
            claim = store.claim("k")
            record = store.lookup("k")
            claim.complete(b"v")
            store.run("l", lambda: b"v")
            done = store.claim("k")
            weak = [weakref.ref(thing) for thing in (claim, done, record, store)]
            del claim, done, record, store
            assert [ref() for ref in weak] == [None] * len(weak)
        finally:
            gc.enable()

    def test_a_claim_keeps_its_store(self, path):
        claim = idemkey.Store(path, 16 << 20).claim("k")
        gc.collect()
        claim.complete(b"v")
        with idemkey.Store(path) as store:
            assert store.claim("k").value == b"v"

    def test_a_warned_of_claim_keeps_its_reply(self, store):
        with pytest.warns(ResourceWarning) as caught:
            store.claim("k")
        claim = caught[0].source
        number = claim.id
        store.claim("l").complete()
        assert (claim.key, claim.id) == (b"k", number)
        assert outcome(store) is Outcome.RECLAIMED


def test_it_does_not_pickle(store):
    claim = store.claim("k")
    with pytest.raises(TypeError, match="Claim does not pickle"):
        pickle.dumps(claim)
    with pytest.raises(TypeError, match="Record does not pickle"):
        pickle.dumps(store.lookup("k"))
    claim.release()


def test_it_is_not_made_by_hand():
    with pytest.raises(TypeError, match="Store"):
        idemkey.Claim()
    with pytest.raises(TypeError, match="Store"):
        idemkey.Record()


def test_repr(store):
    claim = store.claim("k")
    assert repr(claim) == "<Claim b'k' CLAIMED>"
    claim.complete()
    assert repr(store.lookup("k")) == "<Record b'k' DONE>"


def test_outcomes_are_those_of_c():
    in_c = {name: number for number, name in ffi.typeof("enum idem_outcome").elements.items()}
    assert in_c == {f"IDEM_{outcome.name}": outcome.value for outcome in Outcome}
    in_c = {name: number for number, name in ffi.typeof("enum idem_state").elements.items()}
    assert in_c == {f"IDEM_STATE_{state.name}": state.value for state in State}
