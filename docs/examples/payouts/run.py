"""The payouts demo: real workers, real duplicates, real kills; every payout made once.

Runs a payouts API under gunicorn, sends each payout several times over real HTTP, kills workers
with SIGKILL in the middle of requests, stops one for a while, and compares at the end what the
clients were told with what the ledger says. The last line is one JSON object. Exits with 1 if
anything was executed twice or lost.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import idemkey
from chaos import Chaos
from ledger import Ledger
from load import Load
from observe import Observations
from report import faults, judge, table
from server import running

if TYPE_CHECKING:
    from report import Figures

OPERATIONS = 2000
KILLS = 10
DEADLINE_S = 50.0  # then clients give up, and what has no answer counts as lost
PROGRESS_S = 0.5
SHARED_MEMORY = Path("/dev/shm")
MAX_BYTES = 64 << 20  # of the region: far more than the keys of a run


def main() -> int:
    """Run the demo; returns the exit status."""
    options = _parse_arguments()
    # Ended from outside, leave by the same door: server, region and folder are cleared away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(
        f"{options.operations:,} payouts, each sent 1 to 8 times, to 4 gunicorn workers;"
        f" {options.kills} of them killed in mid-request (--seed {options.seed})"
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="payouts-")))
        region = _region_path(folder)
        stack.callback(region.unlink, missing_ok=True)
        figures = _run(options, folder, region)
    print("\n" + table(figures) + "\n")
    found = faults(figures)
    for fault in found:
        print(f"FAULT: {fault}")
    print(json.dumps(figures))
    return 1 if found else 0


def _run(options: argparse.Namespace, folder: Path, region: Path) -> Figures:
    ledger = Ledger(str(folder / "ledger.sqlite"))
    observations = Observations(folder)
    strikes_over = threading.Event()
    started = time.monotonic()
    with idemkey.Store(region, max_bytes=MAX_BYTES) as store:
        empty_bytes = store.stats()["used_bytes"]
    with ledger.kept_open(), running(folder, str(region)) as socket_path:
        deadline = time.monotonic() + DEADLINE_S
        load = Load(socket_path, options.seed, options.operations, strikes_over.is_set, deadline)
        chaos = Chaos(observations.inside, ledger, load, options.seed, options.kills, strikes_over)
        chaos.start()
        load.start()
        while load.is_running():
            time.sleep(PROGRESS_S)
            _show_progress(time.monotonic() - started, load, chaos, ledger)
        chaos.end()
    return {
        "seed": options.seed,
        "seconds": round(time.monotonic() - started, 1),
        **judge(load, chaos, ledger.all(), observations.events()),
        **_inspect(region, empty_bytes),
    }


def _inspect(region: Path, empty_bytes: int) -> Figures:
    """Return what the region says of itself once every worker has left."""
    store = idemkey.Store(region)
    try:
        stats = store.stats()
        unfinished = stats["pending_keys"] + stats["orphaned_keys"]
        store.check()
        check = "OK"
    except idemkey.Error as error:
        check = str(error)
    finally:
        store.close()
    return {
        "keys": stats["done_keys"],
        "keys_unfinished": unfinished,
        "bytes_per_key": round((stats["used_bytes"] - empty_bytes) / max(1, stats["done_keys"])),
        "check": check,
    }


def _show_progress(seconds: float, load: Load, chaos: Chaos, ledger: Ledger) -> None:
    stopped = f"  worker {chaos.stopped_pid} is stopped" if chaos.stopped_pid else ""
    print(
        f"{seconds:5.1f} s  {load.counts['requests']:7,} requests  {ledger.count():6,} executed"
        f"  {chaos.killed:3} workers killed{stopped}",
        flush=True,
    )


def _region_path(folder: Path) -> Path:
    """Return a new path in shared memory, or in ``folder`` where that is missing or small."""
    if SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free > MAX_BYTES:
        return SHARED_MEMORY / f"{folder.name}.idem"
    return folder / "region.idem"


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="payouts under gunicorn, with kills")
    parser.add_argument("--operations", type=_positive, default=OPERATIONS, metavar="N")
    parser.add_argument("--kills", type=_positive, default=KILLS, metavar="N")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}: must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
