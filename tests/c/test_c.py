"""Runs the C unit tests, each program in each flavour (see c.mk)."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FLAVOURS = ["plain", "asan", "tsan"]
PROGRAMS = sorted(path.stem for path in HERE.glob("test_*.c"))
# Valgrind runs one thread at a time, which hides races, and is slow: only programs of one thread.
SEVERAL = re.compile(r"pthread_create|test_child|inside_dead_owner|\bfork\(")
SINGLE = [name for name in PROGRAMS if not SEVERAL.search((HERE / f"{name}.c").read_text())]
VALGRIND = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full"]
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


def run_program(program: str, flavour: str, prefix: list[str]) -> None:
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


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program: str, flavour: str) -> None:
    run_program(program, flavour, without_address_randomisation() if flavour == "tsan" else [])


@pytest.mark.parametrize("program", SINGLE)
def test_program_under_valgrind(program: str) -> None:
    run_program(program, "plain", VALGRIND)
