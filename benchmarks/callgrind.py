"""Instructions per call of the hot operations, counted by valgrind's callgrind.

Usage: callgrind.py PROGRAM [--annotate]

PROGRAM is the built callgrind_calls.c. Prints instructions per call, its loop included, beside
the limit of each, and exits with 1 if one is above. With --annotate the functions that each
operation spends them in follow.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

# Limits set for the project: instructions of one call. A replay (a claim that finds DONE) is
# shown beside them without a limit.
LIMITS: dict[str, int | None] = {"claim": 400, "complete": 200, "lookup": 350, "replay": None}
TITLES = {
    "claim": "claim of a new key",
    "complete": "complete, 64 B value",
    "lookup": "lookup with copy of 64 B",
    "replay": "claim of a done key, 64 B copied",
}
ANNOTATE_LINES = 30


def count(program: str, section: str, dump: Path) -> float:
    """Run a section of `program` under callgrind, keep its dump; return instructions per call."""
    command = ["valgrind", "--tool=callgrind", "--toggle-collect=collected", "--instr-atstart=no"]
    command += [f"--callgrind-out-file={dump}", program, section]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    calls = re.search(r"^calls: (\d+)", result.stderr, re.MULTILINE)
    collected = re.search(r"Collected : (\d+)", result.stderr)
    if result.returncode != 0 or calls is None or collected is None:
        sys.exit(f"callgrind of {program} {section} failed:\n{result.stderr}")
    return int(collected.group(1)) / int(calls.group(1))


def annotate(dump: Path) -> str:
    """Return the functions that a dump's instructions were spent in, most expensive first."""
    command = ["callgrind_annotate", "--auto=no", str(dump)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [line for line in text.splitlines() if re.match(r" *[\d,]+ \(", line)]
    return "\n".join(lines[:ANNOTATE_LINES])


def main() -> int:
    """Count, print, and return the exit status."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    above = 0
    annotations = []
    print(f"{'instructions per call':36}{'found':>8}{'limit':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for section, limit in LIMITS.items():
            dump = Path(folder) / section
            per_call = count(sys.argv[1], section, dump)
            too_many = limit is not None and per_call > limit
            above += too_many
            mark = " !" if too_many else ""
            print(f"{TITLES[section]:36}{per_call:8.0f}{limit or '-':>8}{mark}", flush=True)
            if "--annotate" in sys.argv[2:]:
                annotations.append(f"\n== {section}, of {per_call:.0f}\n{annotate(dump)}")
    print("\n".join(annotations))
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
