"""Short runs of what `make soak` and `make prove-latency` do: see soak.c and latency.c."""

import subprocess
from pathlib import Path

BUILD = Path(__file__).resolve().parent.parent.parent / "build"
WATCHDOG_S = 300.0
LATENCY_KEYS = 30_000
SOAK_CALLS = 6_000_000
SOAK_KEYS = 5_000  # few, so that their population is renewed many times


def run(*command: object) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, timeout=WATCHDOG_S)


def test_no_call_is_far_longer_than_the_median() -> None:
    found = run(BUILD / "counted" / "latency", LATENCY_KEYS)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_end_is_as_the_beginning() -> None:
    found = run(BUILD / "plain" / "soak", BUILD / "counted" / "soak", SOAK_CALLS, SOAK_KEYS)
    assert found.returncode == 0, found.stdout + found.stderr
