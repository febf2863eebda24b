"""What the store promises, shown with real processes: ``python -m idemkey demo``.

Each scene prints what it does and what the store answered, and fails if it answered otherwise.
The last line is one JSON object.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
import traceback
from contextlib import ExitStack
from typing import TYPE_CHECKING

from idemkey import Error, Outcome, Store, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Union

    from idemkey.arguments import OnCrash

    Say = Callable[[object], object]
    Figures = dict[str, Union[int, float, str]]

KEYS = 1_000_000
# Room for the keys of the last scene with their values, index included, and the scenes before.
BYTES_PER_KEY_LIMIT = 512
SMALLEST_BYTES = 32 << 20
VALUE = b"%-64s" % b'{"payout": 7, "amount_cents": 1250}'
PROCESSES = 4
RACED_KEYS = 2_000
CLAIMS_BESIDE_STOPPED = 20_000
TAKEOVER_DEADLINE_S = 10.0
CHILD_DEADLINE_S = 60
NS_PER_MS = 1_000_000
INTENT = b"bank transfer 4711"


class UnexpectedError(Exception):
    """The store answered otherwise than it promises."""


class Child:
    """A forked process that does ``work(say)``; what it says is heard here. Killed on leaving."""

    def __init__(self, work: Callable[[Say], None]) -> None:
        self._hear, say = os.pipe()
        sys.stdout.flush()  # or the child would print it again
        self.pid = os.fork()
        if self.pid == 0:
            signal.alarm(CHILD_DEADLINE_S)  # should this process die before it can kill
            try:
                work(lambda words: os.write(say, f"{words}\n".encode()))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(say)
        self._lines = os.fdopen(self._hear)

    def heard(self) -> str:
        """Return the next line that the child says."""
        if not select.select([self._hear], [], [], CHILD_DEADLINE_S)[0]:
            raise UnexpectedError(f"process {self.pid} is silent")
        line = self._lines.readline()
        if not line:
            raise UnexpectedError(f"process {self.pid} has ended")
        return line.strip()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.signal(signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._lines.close()


def main(keys: int = KEYS) -> int:
    """Show every scene; returns the exit status."""
    figures: Figures = {}
    # Without a name, so that nothing is left behind; the processes forked from this one share it.
    with Store(None, max_bytes=max(SMALLEST_BYTES, keys * BYTES_PER_KEY_LIMIT)) as store:
        try:
            for scene in (_duplicates, _replay, _killed, _held, _stopped):
                figures.update(scene(store))
            figures.update(_many_keys(store, keys))
            figures.update(_check(store))
        except (Error, OSError, UnexpectedError) as error:
            print(f"\nFAULT: {error}")
            figures["check"] = str(error)
    print(json.dumps(figures))
    return 0 if figures["check"] == "OK" else 1


def _duplicates(store: Store) -> Figures:
    _title(f"Duplicates: {PROCESSES} processes race for {RACED_KEYS:,} keys")

    def race(say: Say) -> None:
        say("ready")
        os.read(start, 1)
        claims = [store.claim(f"race:{number}") for number in range(RACED_KEYS)]
        say(sum(claim.won for claim in claims))
        signal.pause()  # a claim that is dropped, or whose process leaves, goes to the others

    start, go = os.pipe()
    with ExitStack() as stack:
        stack.callback(os.close, start)
        stack.callback(os.close, go)
        children = [stack.enter_context(Child(race)) for _ in range(PROCESSES)]
        for child in children:
            child.heard()
        os.write(go, b"!" * PROCESSES)
        wins = [int(child.heard()) for child in children]
    _tell(f"{' + '.join(map(str, wins))} = {sum(wins):,} claims won: one owner for each key")
    _expect(sum(wins) == RACED_KEYS, f"{sum(wins)} claims were won for {RACED_KEYS} keys")
    return {"raced_keys": RACED_KEYS, "raced_wins": sum(wins)}


def _replay(store: Store) -> Figures:
    _title("Replay and mismatch: the same key again")
    request, other = fingerprint("pay 12.50"), fingerprint("pay 99.00")
    with store.claim("payout:1", fingerprint=request) as claim:
        _answered(claim.outcome, Outcome.CLAIMED, "first request")
        claim.complete(VALUE)
    again = store.claim("payout:1", fingerprint=request)
    _answered(again.outcome, Outcome.DONE, "same request again: has the first one's answer")
    _expect(again.value == VALUE, f"the value replayed is {again.value!r}")
    changed = store.claim("payout:1", fingerprint=other)
    _answered(changed.outcome, Outcome.MISMATCH, "same key, another amount")
    return {"replayed": 1, "mismatches": 1}


def _killed(store: Store) -> Figures:
    _title("kill -9 in the middle of an operation")
    with Child(_claim_and_stay(store, "payout:2", "reclaim")) as owner:
        _tell(f"process {owner.pid} {owner.heard()} payout:2, intent {INTENT.decode()!r}")
        _answered(store.claim("payout:2").outcome, Outcome.BUSY, "a duplicate, while it runs")
        owner.signal(signal.SIGKILL)
        killed_ns = time.monotonic_ns()
        claim = store.claim("payout:2", wait=TAKEOVER_DEADLINE_S)
        takeover_ms = round((time.monotonic_ns() - killed_ns) / NS_PER_MS, 1)
    _answered(claim.outcome, Outcome.RECLAIMED, f"{takeover_ms} ms after the kill")
    _tell(f"attempt {claim.attempt}; reconcile first: intent {claim.intent.decode()!r}")
    _expect(claim.attempt == 2, f"the attempt is {claim.attempt}")
    _expect(claim.intent == INTENT, f"the intent is {claim.intent!r}")
    claim.complete(b"was paid")
    return {"reclaimed": 1, "takeover_ms": takeover_ms}


def _held(store: Store) -> Figures:
    _title("kill -9 of an operation that must never run twice: hold, then resolve")
    with Child(_claim_and_stay(store, "payout:3", "hold")) as owner:
        _tell(f"process {owner.pid} {owner.heard()} payout:3 with on_crash='hold'")
    claim = store.claim("payout:3", wait=TAKEOVER_DEADLINE_S)
    _answered(claim.outcome, Outcome.HELD, "after kill -9: nobody runs it")
    store.resolve("payout:3", b"paid, says the bank")
    done = store.claim("payout:3")
    _answered(done.outcome, Outcome.DONE, f"after resolve: {(done.value or b'').decode()!r}")
    return {"held": 1, "resolved": 1}


def _stopped(store: Store) -> Figures:
    _title("SIGSTOP: a stopped process blocks nobody")

    def work(say: Say) -> None:
        mine = store.claim("payout:4")
        say("at work")
        while not select.select([go_on], [], [], 0)[0]:
            store.claim("beside").release()
        mine.complete(b"late, but mine")
        say("completed payout:4")
        signal.pause()

    go_on, tell = os.pipe()
    with Child(work) as busy:
        busy.heard()
        busy.signal(signal.SIGSTOP)
        os.waitpid(busy.pid, os.WUNTRACED)
        started = time.perf_counter()
        for number in range(CLAIMS_BESIDE_STOPPED):
            store.claim(f"stopped:{number}").complete(b"")
        rate = round(CLAIMS_BESIDE_STOPPED / (time.perf_counter() - started))
        _tell(f"process {busy.pid} is stopped amid claims and releases")
        _tell(f"{CLAIMS_BESIDE_STOPPED:,} claims beside it, {rate:,} a second")
        _answered(store.claim("payout:4").outcome, Outcome.BUSY, "its own claim stays its own")
        os.write(tell, b"!")
        busy.signal(signal.SIGCONT)
        _tell(f"continued, it {busy.heard()}")
        _answered(store.claim("payout:4").outcome, Outcome.DONE, "and that counts")
    os.close(go_on)
    os.close(tell)
    return {"claims_beside_stopped": CLAIMS_BESIDE_STOPPED}


def _many_keys(store: Store, keys: int) -> Figures:
    _title(f"{keys:,} keys with {len(VALUE)}-byte values")
    names = [b"idempotency-key-%020d" % number for number in range(keys)]
    before = store.stats()
    started = time.perf_counter()
    for name in names:
        store.claim(name).complete(VALUE)
    claims_per_s = round(keys / (time.perf_counter() - started))
    after = store.stats()
    bytes_per_key = round((after["used_bytes"] - before["used_bytes"]) / keys)
    _tell(f"{claims_per_s:>11,} claims + completions a second, from one process")
    random.Random(keys).shuffle(names)
    started = time.perf_counter()
    for name in names:
        if store.lookup(name) is None:
            raise UnexpectedError(f"{name!r} is forgotten")
    lookups_per_s = round(keys / (time.perf_counter() - started))
    _tell(f"{lookups_per_s:>11,} look-ups a second, in random order")
    _tell(f"{bytes_per_key:>11,} bytes a key: key, value, record and index")
    return {
        "keys": keys,
        "claims_per_s": claims_per_s,
        "lookups_per_s": lookups_per_s,
        "bytes_per_key": bytes_per_key,
    }


def _check(store: Store) -> Figures:
    _title("check: every invariant of the region")
    report = store.check()
    _tell(f"{report['records']:,} records, {report['values']:,} values: OK\n")
    return {"check": "OK"}


def _claim_and_stay(store: Store, key: str, on_crash: OnCrash) -> Callable[[Say], None]:
    def work(say: Say) -> None:
        claim = store.claim(key, intent=INTENT, on_crash=on_crash)
        say(claim.outcome.name)
        signal.pause()

    return work


def _title(text: str) -> None:
    print(f"\n{text}")


def _tell(text: str) -> None:
    print(f"  {text}", flush=True)


def _answered(outcome: Outcome, promised: Outcome, when: str) -> None:
    _tell(f"{outcome.name:<10} {when}")
    _expect(outcome is promised, f"{outcome.name} instead of {promised.name}")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise UnexpectedError(otherwise)
