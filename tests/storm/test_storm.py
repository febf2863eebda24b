"""A short kill storm breaks no promise (see storm.c; `make prove-storm` runs a long one)."""

from __future__ import annotations

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SECONDS = 20
WATCHDOG_S = 500.0  # far above; the program has its own for each round


def test_a_storm_of_kills() -> None:
    run = subprocess.run(
        [ROOT / "build" / "storm" / "storm", str(SECONDS)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WATCHDOG_S,
    )
    print(run.stdout)
    assert run.returncode == 0, run.stdout
    figures = re.search(
        r"(\d+) calls, (\d+) kills, (\d+) stops, (\d+) forks, (\d+) execs, 0 violations",
        run.stdout,
    )
    assert figures, run.stdout
    # It did storm.
    assert all(int(figure) > 0 for figure in figures.groups()), run.stdout
