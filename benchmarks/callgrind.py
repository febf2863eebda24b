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


def run_callgrind(program: str, folder: Path) -> int:
    """Run `program` under callgrind with its dumps in `folder`; return calls per section."""
    command = [
        "valgrind", "--tool=callgrind", "--collect-atstart=no", "--dump-instr=no",
        f"--callgrind-out-file={folder}/out", program,
    ]  # fmt: skip
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"callgrind of {program} failed:\n{result.stderr}")
    match = re.search(r"calls per section: (\d+)", result.stderr)
    if match is None:
        sys.exit(f"{program} did not say how many calls it made")
    return int(match.group(1))


def read_dumps(folder: Path) -> dict[str, tuple[int, Path]]:
    """Return instructions and file of each section that the program dumped."""
    sections = {}
    for path in folder.glob("out.*"):
        text = path.read_text()
        trigger = re.search(r"desc: Trigger: Client Request: (\w+)", text)
        total = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
        if trigger and total:
            sections[trigger.group(1)] = (int(total.group(1)), path)
    return sections


def main() -> int:
    """Count, print, and return the exit status."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as name:
        calls = run_callgrind(sys.argv[1], Path(name))
        sections = read_dumps(Path(name))
        above = 0
        print(f"{'instructions per call':36}{'found':>8}{'limit':>8}")
        for section, limit in LIMITS.items():
            if section not in sections:
                sys.exit(f"no dump of section {section!r}: has valgrind's callgrind changed?")
            per_call = sections[section][0] / calls
            too_many = limit is not None and per_call > limit
            above += too_many
            mark = " !" if too_many else ""
            print(f"{TITLES[section]:36}{per_call:8.0f}{limit or '-':>8}{mark}")
        if "--annotate" in sys.argv[2:]:
            for section, (_, path) in sorted(sections.items()):
                print(f"\n== {section}")
                text = subprocess.run(
                    ["callgrind_annotate", "--auto=no", str(path)],
                    check=True, capture_output=True, text=True,
                ).stdout  # fmt: skip
                print("\n".join(text.splitlines()[:ANNOTATE_LINES]))
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
