"""Runs the C unit tests, each program in each flavour (see c.mk)."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FLAVOURS = ["plain", "asan", "tsan"]
PROGRAMS = sorted(path.stem for path in HERE.glob("test_*.c"))
# Far above what any program needs under a sanitizer on a busy machine: only a hang reaches it.
WATCHDOG_S = 300.0

SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    # Tests fork from threads; the child of such a fork is watched like any process.
    "TSAN_OPTIONS": "die_after_fork=0:second_deadlock_stack=1",
}


def without_address_randomisation() -> list[str]:
    """gcc 12's ThreadSanitizer can't live with the wide randomisation of newer kernels."""
    prefix = ["setarch", "-R"]
    try:
        allowed = subprocess.run([*prefix, "true"], capture_output=True).returncode == 0
    except OSError:
        allowed = False
    return prefix if allowed else []


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    made = subprocess.run(
        ["make", "--no-print-directory", "-s", "c-tests"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert made.returncode == 0, made.stdout


def test_there_are_programs() -> None:
    assert PROGRAMS, f"no test_*.c in {HERE}"


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program: str, flavour: str) -> None:
    prefix = without_address_randomisation() if flavour == "tsan" else []
    run = subprocess.Popen(
        [*prefix, str(ROOT / "build" / flavour / program)],
        cwd=ROOT,
        env={**os.environ, **SANITIZERS},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = run.communicate(timeout=WATCHDOG_S)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)  # the program and the processes it started
        output, _ = run.communicate()
        pytest.fail(f"{program} ({flavour}) still ran after {WATCHDOG_S} s\n{output}")
    assert run.returncode == 0, f"{program} ({flavour}) ended with {run.returncode}\n{output}"
