"""Functions that run once for a key."""

import asyncio
import warnings

import idemkey
import pytest
from idemkey import Outcome


class TestRun:
    def test_once_and_then_replayed(self, store):
        calls = []
        for _ in range(3):
            assert store.run("k", lambda: calls.append(1) or b"v") == b"v"
        assert calls == [1]

    def test_with_other_buffers(self, store):
        assert store.run("k", lambda: bytearray(b"v")) == store.run("k", bytes) == b"v"

    def test_a_failure_is_tried_again(self, store):
        with pytest.raises(ZeroDivisionError):
            store.run("k", lambda: 1 // 0)
        with store.claim("k") as claim:
            assert (claim.outcome, claim.attempt) == (Outcome.CLAIMED, 1)
            claim.release()
        assert store.run("k", lambda: b"v") == b"v"

    def test_busy(self, store):
        mine = store.claim("k")
        with pytest.raises(idemkey.BusyError, match="b'k'") as caught:
            store.run("k", lambda: b"v", wait=0.01)
        assert caught.value.claim.id == mine.id
        mine.release()

    def test_mismatch(self, store):
        store.run("k", lambda: b"v", fingerprint=idemkey.fingerprint(1 and "1"))
        with pytest.raises(idemkey.MismatchError) as caught:
            store.run("k", lambda: b"v", fingerprint=idemkey.fingerprint("2"))
        assert caught.value.claim.outcome is Outcome.MISMATCH

    def test_held(self, store):
        with pytest.warns(ResourceWarning), pytest.raises(SystemExit):
            store.run("k", exit, on_crash="hold")
        with pytest.raises(idemkey.HeldError) as caught:
            store.run("k", lambda: b"v")
        assert caught.value.claim.outcome is Outcome.HELD
        store.resolve("k", b"v")
        assert store.run("k", bytes) == b"v"

    def test_not_kept(self, path):
        with idemkey.Store(path, 16 << 20, max_value_bytes=100) as store:
            assert store.run("k", lambda: bytes(101)) == bytes(101)
            with pytest.raises(idemkey.NotKeptError):
                store.run("k", lambda: b"not run again")
            store.check()

    def test_a_wrong_result_is_not_run_again_unseen(self, store):
        with pytest.raises(TypeError, match="value must be bytes"):
            store.run("k", lambda: "text")
        claim = store.claim("k")
        assert claim.outcome is Outcome.RECLAIMED
        claim.complete()


class TestOnce:
    def test_plain(self, store):
        calls = []

        @store.once(key=lambda order, **_: f"ship:{order}", ttl=60)
        def ship(order, *, carrier="pigeon"):
            """Ships an order."""
            calls.append(order)
            return {"order": order, "by": carrier, "parts": (1, 2)}

        first = ship(5, carrier="owl")
        assert first == ship(5) == {"order": 5, "by": "owl", "parts": [1, 2]}
        assert ship(6)["order"] == 6
        assert calls == [5, 6]
        assert (ship.__name__, ship.__doc__) == ("ship", "Ships an order.")
        assert store.lookup("ship:5").expires_in <= 62

    @pytest.mark.parametrize("result", [None, False, 0, "", "über", [], {"a": [1.5, None]}])
    def test_what_json_holds(self, store, result):
        calls = []

        @store.once(key=lambda: "k")
        def fn():
            calls.append(1)
            return result

        assert fn() == fn() == result
        assert calls == [1]

    def test_a_result_that_json_cannot_hold_is_not_run_again(self, store):
        @store.once(key=lambda: "k")
        def fn():
            return object()

        with pytest.raises(TypeError, match="JSON"):
            fn()
        assert store.lookup("k").state is idemkey.State.ORPHANED

    def test_fingerprint(self, store):
        @store.once(
            key=lambda order, amount: f"{order}",
            fingerprint=lambda order, amount: idemkey.fingerprint(str(amount)),
        )
        def pay(order, amount):
            return amount

        assert pay(1, 10) == pay(1, 10) == 10
        with pytest.raises(idemkey.MismatchError):
            pay(1, 11)

    def test_a_failure_is_tried_again(self, store):
        results = [ZeroDivisionError(), 7]

        @store.once(key=lambda: "k")
        def fn():
            result = results.pop(0)
            if isinstance(result, Exception):
                raise result
            return result

        with pytest.raises(ZeroDivisionError):
            fn()
        assert fn() == fn() == 7

    def test_async(self, store):
        calls = []

        @store.once(key=lambda order: f"ship:{order}", wait=60)
        async def ship(order):
            calls.append(order)
            await asyncio.sleep(0.01)
            return [order]

        async def main():
            return await asyncio.gather(*(ship(order) for order in (1, 2) * 20))

        assert asyncio.run(main()) == [[1], [2]] * 20
        assert sorted(calls) == [1, 2]

    def test_async_without_waiting(self, store):
        @store.once(key=lambda: "k")
        async def fn():
            with pytest.raises(idemkey.BusyError):
                await fn()
            return "v"

        assert asyncio.run(fn()) == "v"

    def test_bad_input(self, store):
        with pytest.raises(TypeError, match=r"key must be a function .* not str"):
            store.once(key="constant")
        with pytest.raises(TypeError, match="fingerprint must be a function"):
            store.once(key=str, fingerprint=b"0" * 16)
        with pytest.raises(TypeError, match="generators"):

            @store.once(key=lambda: "k")
            def fn():
                yield

        with pytest.raises(ValueError, match="ttl is 0"):
            store.once(key=lambda: "k", ttl=0)(int)()

    def test_no_warning_comes_of_it(self, store):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert store.once(key=lambda: "k")(lambda: 1)() == 1
