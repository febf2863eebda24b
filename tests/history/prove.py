"""Records histories, one after the other, and has each judged (see record.c and check/).

    python3 tests/history/prove.py FOLDER RUNS OPERATIONS

FOLDER is where `make` puts the two programs. Prints the figures of all runs together, and fails if
a history is rejected; that one stays in FOLDER. IDEMKEY_SEED is the first run's seed.
"""

from __future__ import annotations

import os
import pathlib
import random
import re
import subprocess
import sys

# Above the recorder's own watchdog, and the checker's for each key.
WATCHDOG_S = 3600.0
FIGURES = {
    "operations": r"checked (\d+) operations",
    "keys": r"on (\d+) keys",
    "overlapping": r"(\d+) of them overlapping",
    "kills": r"(\d+) kills",
    "unknown": r"(\d+) unknown",
}


def run(command: list[str | pathlib.Path], seed: int) -> subprocess.CompletedProcess[str]:
    """Run one of the programs with a seed; its output is one string."""
    return subprocess.run(
        command,
        env={**os.environ, "IDEMKEY_SEED": str(seed)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WATCHDOG_S,
    )


def first_seed() -> int:
    """Give IDEMKEY_SEED, or a new one."""
    given = os.environ.get("IDEMKEY_SEED")
    return int(given, 0) if given else random.SystemRandom().randrange(1, 1 << 48)


def figures(output: str) -> dict[str, int]:
    """Read the numbers that the two programs print."""
    found = {name: re.search(pattern, output) for name, pattern in FIGURES.items()}
    return {name: int(match[1]) for name, match in found.items() if match}


def main(folder: pathlib.Path, runs: int, operations: int) -> None:
    """Record and judge, and end with the verdict."""
    seed = first_seed()
    total = dict.fromkeys(FIGURES, 0)
    for number in range(runs):
        history = folder / f"history-{number}.txt"
        recorded = run([folder / "record", history, str(operations)], seed + number)
        if recorded.returncode != 0:
            sys.exit(f"prove-history: the recorder failed\n{recorded.stdout}")
        checked = run([folder / "check", history], seed + number)
        if checked.returncode != 0:
            sys.exit(f"prove-history: {history} of seed {seed + number}\n{checked.stdout}")
        history.unlink()
        for name, count in figures(recorded.stdout + checked.stdout).items():
            total[name] += count
        print(f"  run {number + 1} of {runs}: {total['operations']} operations", flush=True)
    print(
        "prove-history: {operations} operations on {keys} keys, {overlapping} of them overlapping; "
        "{kills} kills, {unknown} operations cut off by them; all linearizable".format(**total)
    )
    print(f"  seed {seed} (IDEMKEY_SEED={seed} repeats the choices, not the interleaving)")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
