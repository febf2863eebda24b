"""Claims and look-ups of many keys."""

import idemkey
import pytest
from idemkey import Outcome


def test_claim_many(store):
    store.claim("done").complete(b"v" * 1000, ttl=60)
    busy = store.claim("busy")
    claims = store.claim_many(["new", b"done", "busy", "new"], ttl=60, lease=30)
    assert [claim.outcome for claim in claims] == [
        Outcome.CLAIMED,
        Outcome.DONE,
        Outcome.BUSY,
        Outcome.BUSY,
    ]
    assert [claim.key for claim in claims] == [b"new", b"done", b"busy", b"new"]
    assert claims[1].value == b"v" * 1000
    assert claims[0].lease_left > 29
    claims[0].complete(b"w")
    assert store.claim("new").value == b"w"
    busy.release()


def test_fingerprints_and_intents_go_with_their_keys(store):
    marks = [idemkey.fingerprint("a"), None, idemkey.fingerprint("c")]
    claims = store.claim_many(list("abc"), fingerprints=marks, intents=[b"1", b"", b"33"])
    assert [record.fingerprint for record in store.lookup_many(list("abc"))] == marks
    assert [record.intent for record in store.lookup_many(list("abc"))] == [b"1", b"", b"33"]
    for claim in claims:
        claim.complete(claim.key)
    again = store.claim_many(list("abc"), fingerprints=marks[::-1])
    assert [claim.outcome for claim in again] == [Outcome.MISMATCH, Outcome.DONE, Outcome.MISMATCH]


def test_many_at_once(store):
    keys = [f"{i}" for i in range(3000)]
    for claim in store.claim_many(keys):
        claim.complete(claim.key)
    assert [claim.value for claim in store.claim_many(keys)] == [key.encode() for key in keys]
    found = store.lookup_many([*keys, "none"])
    assert [record.value for record in found[:-1]] == [key.encode() for key in keys]
    assert found[-1] is None


def test_none_at_all(store):
    assert store.claim_many([]) == []
    assert store.lookup_many([]) == []


def test_a_bad_key_claims_nothing(store):
    for bad in (b"", b"k" * 1025):
        with pytest.raises(ValueError, match="key"):
            store.claim_many(["first", bad, "last"])
        with pytest.raises(ValueError, match="key"):
            store.lookup_many(["first", bad])
    with pytest.raises(TypeError, match="key"):
        store.claim_many(["first", 7])
    assert list(store.scan()) == []


def test_other_bad_input(store):
    with pytest.raises(ValueError, match=r"fingerprints has 1 items .* 2 keys"):
        store.claim_many(["a", "b"], fingerprints=[None])
    with pytest.raises(ValueError, match="fingerprint has 5 bytes"):
        store.claim_many(["a"], fingerprints=[b"short"])
    with pytest.raises(ValueError, match="fingerprint has 0 bytes"):
        store.claim_many(["a"], fingerprints=[b""])
    with pytest.raises(TypeError, match="intent"):
        store.claim_many(["a"], intents=["text"])
    assert list(store.scan()) == []


def test_a_full_store_gives_back_what_the_batch_won(path):
    with idemkey.Store(path, 1 << 20, max_value_bytes=1024) as store:
        with pytest.raises(idemkey.FullError):
            store.claim_many([f"{i:0100}" for i in range(100_000)], intents=[bytes(500)] * 100_000)
        assert store.stats()["pending_keys"] == 0
        store.check()
