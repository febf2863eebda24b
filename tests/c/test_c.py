"""Runs the C unit tests, each program in each flavour (see c.mk)."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / os.environ.get("BUILD", "build")  # make passes its own on
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


def outcome(command: list[str]) -> tuple[int, str]:
    run = subprocess.Popen(
        command,
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
        pytest.fail(f"{command} still ran after {WATCHDOG_S} s\n{output}")
    return run.returncode, output


def run_program(program: str, flavour: str, prefix: list[str]) -> None:
    status, output = outcome([*prefix, str(BUILD / flavour / program)])
    assert status == 0, f"{program} ({flavour}) ended with {status}\n{output}"


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program: str, flavour: str) -> None:
    run_program(program, flavour, without_address_randomisation() if flavour == "tsan" else [])


@pytest.mark.parametrize("program", SINGLE)
def test_program_under_valgrind(program: str) -> None:
    run_program(program, "plain", VALGRIND)


LEAK = """#include <stdlib.h>
int main(void)
{
    void *volatile lost = malloc(9);
    lost = NULL;
    return lost != NULL;
}
"""
RACE = """#include <pthread.h>
static int shared;
static void *work(void *unused) { shared++; return unused; }
int main(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, NULL)) return 0;
    shared++;
    return pthread_join(thread, NULL);
}
"""


@pytest.mark.parametrize(
    ("flags", "prefix", "source", "report"),
    [
        (["-fsanitize=address,undefined"], [], LEAK, "LeakSanitizer: detected memory leaks"),
        (["-fsanitize=thread"], without_address_randomisation(), RACE, "data race"),
        ([], VALGRIND, LEAK, "definitely lost"),
    ],
    ids=["asan", "tsan", "valgrind"],
)
def test_silence_means_something(
    flags: list[str], prefix: list[str], source: str, report: str, tmp_path: Path
) -> None:
    """Run as the programs are, a checker finds what is there to be found."""
    program = tmp_path / "faulty"
    compile_it = ["gcc", "-pthread", *flags, "-xc", "-", "-o", str(program)]
    subprocess.run(compile_it, input=source, text=True, check=True)
    status, output = outcome([*prefix, str(program)])
    assert status != 0, output
    assert report in output, output
