"""Keys chosen to collide under XXH3 without a key cost what random ones do (hostile.c)."""

import subprocess
from pathlib import Path

COUNTED = Path(__file__).resolve().parent.parent.parent / "build" / "counted"
WATCHDOG_S = 300.0
KEYS = 100_000
# An unkeyed store has all of them in one run of equal hashes, and each call walks along it.
KEYS_UNKEYED = 1_000


def run(program: str, keys: int) -> subprocess.CompletedProcess[str]:
    command = [str(COUNTED / program), str(keys)]
    return subprocess.run(command, capture_output=True, text=True, timeout=WATCHDOG_S)


def test_chosen_keys_cost_what_random_ones_do() -> None:
    found = run("hostile", KEYS)
    assert found.returncode == 0, found.stdout + found.stderr


def test_without_a_secret_they_would_cost_more() -> None:
    found = run("hostile-unkeyed", KEYS_UNKEYED)
    assert found.returncode == 1 and "highest ratio" in found.stdout, found.stdout + found.stderr
