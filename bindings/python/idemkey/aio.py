"""Waiting in an event loop: polling with a growing pause.

A call that does not wait takes about a microsecond, so it is made in the loop itself. No thread
is held (the loop's default executor may be full of those who would have to end the claim), and
nothing is left behind after a cancellation or a fork.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from .arguments import Key, duration_ms
from .claim import Claim, Outcome
from .errors import WaitTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Unpack

    from .arguments import ClaimOptions
    from .record import Record
    from .store import Store

#: The first pause: about the shortest operation that is worth a claim.
FIRST_PAUSE_S = 0.001
#: The longest: what a waiter may lose; a thousand waiters then cost 5% of a processor.
LONGEST_PAUSE_S = 0.05
PAUSE_GROWTH = 1.5
MS_PER_SECOND = 1000


def pauses(timeout_ms: int) -> Iterator[float]:
    """Seconds to sleep between tries, until ``timeout_ms`` are over."""
    deadline = time.monotonic() + timeout_ms / MS_PER_SECOND
    pause = FIRST_PAUSE_S
    while (left := deadline - time.monotonic()) > 0:
        yield min(pause, left)
        pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE_S)


async def aclaim(store: Store, key: Key, **options: Unpack[ClaimOptions]) -> Claim:
    """`Store.claim` in an event loop."""
    wait_ms = duration_ms("wait", options.pop("wait", 0.0))
    claim = store.claim(key, **options)
    for pause in pauses(wait_ms):
        if claim.outcome is not Outcome.BUSY:
            break
        await asyncio.sleep(pause)
        claim = store.claim(key, **options)
    return claim


async def await_(store: Store, key: Key, timeout: float) -> Record | None:
    """`Store.wait` in an event loop."""
    for pause in pauses(duration_ms("timeout", timeout)):
        try:
            return store.wait(key, 0.0)
        except WaitTimeoutError:
            await asyncio.sleep(pause)
    return store.wait(key, 0.0)
