"""Requests a second over HTTP: gunicorn with two workers, asked by wrk.

    python benchmarks/http/over_http.py [--rounds N] [--json FILE]

All contenders' servers run all the time, each on a port of its own of the loopback; a round asks
one after another, for new keys and for keys that are done, in turning order. The figures are
medians of rounds with their quartiles, and the share of what the application alone reaches in the
same round. Server, client and Redis share the machine's processors.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from contenders import BODY, CALLER, WSGI_NAMES
from redis_server import running_redis

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
ROUNDS = 9
SECONDS = 2
WORKERS = 2
CONNECTIONS = 4
DEADLINE_S = 30.0
POLL_S = 0.05
REPLAYED_KEYS = 100
RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
FAILED = re.compile(r"Non-2xx or 3xx responses: (\d+)|Socket errors: .*")

SCRIPT = """
local count, keys, prefix = 0, {keys}, "{prefix}" .. os.time() .. "-"
wrk.method, wrk.body = "POST", [==[{body}]==]
wrk.headers["Content-Type"], wrk.headers["Authorization"] = "application/json", "{caller}"
request = function()
    count = count + 1
    local key = prefix .. (keys > 0 and count % keys or count)
    wrk.headers["Idempotency-Key"], wrk.headers["X-Idempotency-Key"] = key, key
    return wrk.format(nil, "/v1/payouts")
end
"""


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(name: str, region: str, redis_path: str) -> Iterator[int]:
    """A gunicorn that serves the contender; gives its port."""
    port = free_port()
    environment = {"BENCH_CONTENDER": name, "BENCH_REGION": region, "BENCH_REDIS": redis_path}
    command = [sys.executable, "-m", "gunicorn", "--workers", str(WORKERS), "--threads", "2"]
    command += ["--bind", f"127.0.0.1:{port}", "--chdir", str(HERE), "--log-level", "error"]
    server = subprocess.Popen([*command, "served"], env={**os.environ, **environment})
    try:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionError:
                if time.monotonic() > deadline or server.poll() is not None:
                    raise
                time.sleep(POLL_S)
        yield port
    finally:
        server.terminate()
        server.wait()


def ask(port: int, script: Path) -> float:
    """Requests a second; all must have been answered with success."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(script)]
    command += [f"http://127.0.0.1:{port}"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = RATE.search(out)
    if rate is None or FAILED.search(out):
        sys.exit(f"wrk: not every request succeeded:\n{out}")
    return float(rate.group(1))


def measure(ports: dict[str, int], folder: Path, rounds: int) -> dict[tuple[str, str], list[float]]:
    """Rates, a number for each round, by contender and "first" or "replay"."""
    found: dict[tuple[str, str], list[float]] = {}
    names = list(ports)
    for number in range(rounds):
        turned = names[number % len(names) :] + names[: number % len(names)]
        for name in turned:
            for step, keys in (("first", 0), ("replay", REPLAYED_KEYS)):
                script = folder / "keys.lua"
                prefix = f"{names.index(name)}-{number}-{step}-"
                script.write_text(
                    SCRIPT.format(prefix=prefix, keys=keys, body=BODY.decode(), caller=CALLER)
                )
                found.setdefault((name, step), []).append(ask(ports[name], script))
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    region = f"/dev/shm/idemkey-bench-load-{os.getpid()}.idem"
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: Path(region).unlink(missing_ok=True))
        redis_path = stack.enter_context(running_redis())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ports = {
            name: stack.enter_context(running(name, region, redis_path)) for name in WSGI_NAMES
        }
        found = measure(ports, folder, options.rounds)
    rows = []
    print(
        f"requests a second, gunicorn, {WORKERS} workers, {CONNECTIONS} connections; share of bare"
    )
    for (name, step), rates in found.items():
        shares = [rate / bare for rate, bare in zip(rates, found["bare", step])]
        rate, share = (
            statistics.quantiles(rates, n=4, method="inclusive"),
            statistics.quantiles(shares, n=4, method="inclusive"),
        )
        rows.append({"contender": name, "step": step, "rate": rate, "share": share})
        print(
            f"  {name:24} {step:7} {rate[1]:8.0f} [{rate[0]:.0f}-{rate[2]:.0f}]"
            f"  {share[1]:5.2f} [{share[0]:.2f}-{share[2]:.2f}]"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
