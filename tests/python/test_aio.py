"""Waiting in an event loop blocks nobody."""

import asyncio
import threading

import idemkey
import pytest
from idemkey import Outcome, aio


def test_aclaim_of_a_new_key(store):
    async def main():
        with await store.aclaim("k", ttl=60, intent=b"i") as claim:
            claim.complete(b"v")
        return (await store.aclaim("k")).value

    assert asyncio.run(main()) == b"v"


def test_the_loop_goes_on_while_claims_wait(store):
    async def owner():
        claim = store.claim("k")
        ticks = 0
        for ticks in range(20):  # noqa: B007
            await asyncio.sleep(0)
        claim.complete(b"v")
        return ticks

    async def main():
        work = asyncio.ensure_future(owner())
        await asyncio.sleep(0)
        waiters = [store.aclaim("k", wait=60) for _ in range(50)]
        claims = await asyncio.gather(*waiters)
        records = await asyncio.gather(*(store.await_("k", 60) for _ in range(50)))
        return await work, {item.value for item in [*claims, *records]}

    assert asyncio.run(main()) == (19, {b"v"})


def test_no_thread_is_used(store):
    # Others' tests may have left threads of their own, such as an executor's.
    before = set(threading.enumerate())

    async def main():
        mine = store.claim("k")
        waiter = asyncio.ensure_future(store.aclaim("k", wait=60))
        await asyncio.sleep(aio.FIRST_PAUSE_S)
        threads = set(threading.enumerate())
        mine.release()
        (await waiter).release()
        return threads

    assert asyncio.run(main()) <= before


def test_waiting_in_vain(store):
    async def main():
        mine = store.claim("k")
        assert (await store.aclaim("k")).outcome is Outcome.BUSY
        assert (await store.aclaim("k", wait=0.01)).outcome is Outcome.BUSY
        for timeout in (0, 0.01):
            with pytest.raises(idemkey.WaitTimeoutError):
                await store.await_("k", timeout)
        mine.release()
        assert await store.await_("k", 0) is None

    asyncio.run(main())


def test_a_cancelled_wait_holds_nothing(store):
    async def main():
        mine = store.claim("k")
        waiter = asyncio.ensure_future(store.aclaim("k", wait=60))
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        mine.release()
        claim = await store.aclaim("k")
        assert (claim.outcome, claim.attempt) == (Outcome.CLAIMED, 1)
        claim.release()

    asyncio.run(main())


def test_a_cancelled_operation_is_abandoned(store):
    async def operation():
        with await store.aclaim("k"):
            await asyncio.sleep(3600)

    async def main():
        task = asyncio.ensure_future(operation())
        while store.lookup("k") is None:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError), pytest.warns(ResourceWarning, match="k"):
            await task
        claim = await store.aclaim("k")
        assert claim.outcome is Outcome.RECLAIMED
        claim.complete()

    asyncio.run(main())


def test_bad_input(store):
    async def main():
        with pytest.raises(ValueError, match="wait is -1"):
            await store.aclaim("k", wait=-1)
        with pytest.raises(ValueError, match="timeout is -1"):
            await store.await_("k", -1)
        with pytest.raises(ValueError, match="key"):
            await store.aclaim(b"")

    asyncio.run(main())
