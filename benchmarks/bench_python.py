"""What a call costs in Python: medians in microseconds, with their spread.

    python benchmarks/bench_python.py [PATH]

The region is made at PATH, by default in /dev/shm, and removed afterwards. Each call is timed in
batches, in turn with the others, so that a busy moment of the machine hits all alike; the figure is
the median batch, the spread its lower and upper quartile. Processor time, as no call here sleeps:
other processes do not count. The store is warm, with KEYS keys; those of a round are forgotten
after it, so that each round meets a steady state. Keys have 36 bytes, values 64.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time

import idemkey

KEYS = 100_000
BATCH = 2000
ROUNDS = 101
WARM_ROUNDS = 5
MAX_BYTES = 1 << 30
VALUE = b"v" * 64
LIMITS_US = {"claim + complete, new key": 2.5, "replay: claim of a done key": 1.2}


def claim_and_complete(store, keys):
    claim = store.claim
    for key in keys:
        claim(key).complete(VALUE)


def replay(store, keys):
    claim = store.claim
    for key in keys:
        claim(key)


def replay_and_read(store, keys):
    claim = store.claim
    for key in keys:
        claim(key).value  # noqa: B018


def lookup(store, keys):
    lookup = store.lookup
    for key in keys:
        lookup(key)


def claim_many(store, keys):
    for i in range(0, BATCH, 32):
        store.claim_many(keys[i : i + 32])


def nothing(_store, keys):
    for _ in keys:
        pass


CALLS = {
    "claim + complete, new key": claim_and_complete,
    "replay: claim of a done key": replay,
    "replay, value read": replay_and_read,
    "lookup of a done key": lookup,
    "claim_many(32) of done keys": claim_many,
    "an empty loop": nothing,
}


def measure(store):
    """Microseconds a call, by name, one number for each round."""
    found = {name: [] for name in CALLS}
    claim_and_complete(store, [f"w{i:035}".encode() for i in range(KEYS)])
    for round_number in range(WARM_ROUNDS + ROUNDS):
        # New keys first: the others then find them done.
        keys = [f"{round_number:018}{i:018}".encode() for i in range(BATCH)]
        for name, call in CALLS.items():
            begin = time.thread_time_ns()
            call(store, keys)
            end = time.thread_time_ns()
            if round_number >= WARM_ROUNDS:
                found[name].append((end - begin) / BATCH / 1000)
        for key in keys:
            store.forget(key)
    return found


def main(path):
    gc.disable()
    with idemkey.Store(path, MAX_BYTES, exclusive=True) as store:
        try:
            found = measure(store)
            store.check()
        finally:
            os.unlink(path)
    print(f"Python {sys.version.split()[0]}, idemkey {idemkey.__version__}; microseconds a call")
    for name, times in found.items():
        lower, median, upper = statistics.quantiles(times, n=4)
        limit = f"  (to reach: {LIMITS_US[name]})" if name in LIMITS_US else ""
        print(f"{name:28} {median:6.2f}  {lower:6.2f} to {upper:6.2f}{limit}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else f"/dev/shm/idemkey-bench-{os.getpid()}.idem")
