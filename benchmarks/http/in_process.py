"""What idempotency adds to a request, in one process: idemkey beside its peers.

    python benchmarks/http/in_process.py [--rounds N] [--json FILE]

Each round serves a batch of new keys by every contender in turn, then the same keys again
(replays); the order of the contenders turns from round to round. What one adds is its time less
that of the application alone in the same round; the figures are medians of rounds, with their
quartiles. A fifth of each batch goes first, untimed.

Time is processor time of the process for those that never wait, which other work on the machine
does not touch; and wall time for those that ask Redis, which runs on a Unix socket of its own,
without persistence: both its work and the way there and back count. On a machine that is busy with
other things that is to the disadvantage of Redis, so run this on one that is not.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import idemkey
from contenders import asgi_contenders, call_wsgi, wsgi_apps
from redis_server import running_redis

if TYPE_CHECKING:
    from collections.abc import Callable

    from contenders import Serve

ROUNDS = 60
BATCH = 200
WARM = BATCH // 5
MAX_BYTES = 512 << 20
NS_PER_US = 1000
TARGETS_US = {"first": 15.0, "replay": 10.0}
PEER_RATIO = 10

Times = dict[tuple[str, str], list[float]]


def clock_of(name: str) -> Callable[[], int]:
    """The clock, in ns, that a contender is timed by."""
    return time.perf_counter_ns if "Redis" in name else time.process_time_ns


def time_wsgi(serve: Serve, keys: list[str], clock: Callable[[], int]) -> float:
    """Microseconds a request."""
    for key in keys[:WARM]:
        serve(key)
    start = clock()
    for key in keys[WARM:]:
        serve(key)
    return (clock() - start) / (len(keys) - WARM) / NS_PER_US


async def time_asgi(serve: Serve, keys: list[str], clock: Callable[[], int]) -> float:
    """Microseconds a request."""
    for key in keys[:WARM]:
        await serve(key)
    start = clock()
    for key in keys[WARM:]:
        await serve(key)
    return (clock() - start) / (len(keys) - WARM) / NS_PER_US


def measure(kind: str, contenders: dict[str, Serve], rounds: int) -> Times:
    """Added microseconds, a number for each round, by contender and "first" or "replay"."""
    names = list(contenders)
    found: Times = {}
    with asyncio.Runner() as runner:
        for number in range(rounds):
            turned = names[number % len(names) :] + names[: number % len(names)]
            for step in ("first", "replay"):
                times = {}
                for name in turned:
                    keys = [f"{os.getpid()}-{kind}-{name}-{number}-{i:06}" for i in range(BATCH)]
                    keys = [key.replace(" ", "").replace(",", "") for key in keys]
                    if kind == "asgi":
                        times[name] = runner.run(time_asgi(contenders[name], keys, clock_of(name)))
                    else:
                        times[name] = time_wsgi(contenders[name], keys, clock_of(name))
                for name in names:
                    if name == "bare":
                        found.setdefault((name, step), []).append(times[name])
                    else:
                        found.setdefault((name, step), []).append(times[name] - times["bare"])
    return found


def report(kind: str, found: Times) -> list[dict[str, object]]:
    """Print a table; return its rows."""
    ours = next(name for name, _ in found if name.startswith("idemkey"))
    print(f"\n{kind}: microseconds added to a request; ratio to {ours}, quartiles of rounds")
    rows = []
    for (name, step), times in found.items():
        lower, median, upper = statistics.quantiles(times, n=4, method="inclusive")
        ratios = [time / own for time, own in zip(times, found[ours, step])]
        ratio = statistics.quantiles(ratios, n=4, method="inclusive")
        rows.append(
            {
                "kind": kind,
                "contender": name,
                "step": step,
                "us": [lower, median, upper],
                "ratio": ratio,
            }
        )
        what = f"{name} (its whole time)" if name == "bare" else name
        print(
            f"  {what:34} {step:7} {median:8.2f}  [{lower:.2f}-{upper:.2f}]"
            f"  {ratio[1]:7.1f} [{ratio[0]:.1f}-{ratio[2]:.1f}]"
        )
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    gc.disable()
    path = f"/dev/shm/idemkey-bench-http-{os.getpid()}.idem"
    rows: list[dict[str, object]] = []
    with running_redis() as redis_path:
        try:
            with idemkey.Store(path, MAX_BYTES, exclusive=True) as store:
                apps = wsgi_apps(store, redis_path)
                wsgi = {name: call_wsgi(app) for name, app in apps.items()}
                rows += report("WSGI", measure("wsgi", wsgi, options.rounds))
                asgi = asgi_contenders(store, redis_path)
                rows += report("ASGI", measure("asgi", asgi, options.rounds))
                store.check()
        finally:
            os.unlink(path)
    print(f"\nto reach in WSGI: first {TARGETS_US['first']}, replay {TARGETS_US['replay']};")
    print(f"the peer with Redis at least {PEER_RATIO} times as much")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
