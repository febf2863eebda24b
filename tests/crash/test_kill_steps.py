"""Runs a sample of `make prove-kill` over all scenarios: see step.c."""

import os
import random
import re
import signal
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROGRAM = ROOT / "build" / "crash" / "step"
# Far above what it needs on a busy machine: only a hang reaches it.
WATCHDOG_S = 500.0


def scenario_names() -> list[str]:
    return re.findall(r'\.name = "([^"]+)"', (HERE / "table.h").read_text())


def test_a_kill_at_any_instruction_is_survived() -> None:
    made = subprocess.run(
        ["make", "--no-print-directory", "-s", "build/crash/step"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert made.returncode == 0, made.stdout
    seed = os.environ.get("IDEMKEY_SEED") or str(random.SystemRandom().randrange(1, 2**32))
    print(f"IDEMKEY_SEED={seed}")
    run = subprocess.Popen(
        [str(PROGRAM), "--sample", "--seed", seed, "--jobs", str(os.cpu_count() or 1)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = run.communicate(timeout=WATCHDOG_S)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)  # the program and the processes it started
        output, _ = run.communicate()
        pytest.fail(f"still ran after {WATCHDOG_S} s\n{output}")
    print(output)
    assert run.returncode == 0, output
    names = scenario_names()
    assert names
    assert f"total: {len(names)} of {len(names)} scenarios" in output
    for name in names:
        row = re.search(rf"^{re.escape(name)} +(.*)$", output, re.MULTILINE)
        assert row, name
        steps, points, _, kills, _, _, _, recovery_kills, failures = map(int, row[1].split())
        assert 0 < steps < points
        assert kills > 0
        assert recovery_kills > 0
        assert failures == 0
