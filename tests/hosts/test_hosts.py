"""Hosts as they are: runs the C programs of this folder, and looks through Python's eyes.

See hosts.mk for what is built, README.md for which test shows what.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FLAVOURS = ["plain", "asan"]
PROGRAMS = sorted(path.stem for path in HERE.glob("test_*.c"))
# Far above what any program needs under a sanitizer on a busy machine: only a hang reaches it.
WATCHDOG_S = 300.0
SANITIZERS = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    made = subprocess.run(
        ["make", "--no-print-directory", "-s", "host-tests"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert made.returncode == 0, made.stdout


def test_there_are_programs() -> None:
    assert PROGRAMS, f"no test_*.c in {HERE}"


def started(flavour: str, program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(ROOT / "build" / flavour / f"hosts_{program}")],
        cwd=ROOT,
        env={**os.environ, **SANITIZERS},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program: str) -> None:
    """All flavours at once: most of the time they wait for clocks."""
    runs = {flavour: started(flavour, program) for flavour in FLAVOURS}
    failures = []
    for flavour, run in runs.items():
        try:
            output, _ = run.communicate(timeout=WATCHDOG_S)
            end = f"ended with {run.returncode}"
        except subprocess.TimeoutExpired:
            run.kill()  # and with it, by PDEATHSIG, the processes it started
            output, _ = run.communicate()
            end = f"still ran after {WATCHDOG_S} s"
        print(output)
        if run.returncode != 0:
            failures.append(f"{program} ({flavour}) {end}\n{output}")
    assert not failures, "\n".join(failures)


FULL = """
import os, sys, idemkey
folder = sys.argv[1]
path = f"{folder}/region.idem"

def refusal(call):
    try:
        call()
    except idemkey.FullError as error:
        print(error)
        assert path in str(error) and "of its 1 MiB" in str(error), error
    else:
        raise AssertionError("not refused")

refusal(lambda: idemkey.Store(path))  # 256 MiB: the first slab alone has 2 MiB
assert not os.path.exists(path)
with idemkey.Store(path, 1 << 20) as store:
    store.claim("before").complete(b"value")
    held = store.claim("held")
    with open(f"{folder}/filler", "wb") as filler:
        fs = os.statvfs(folder)
        os.posix_fallocate(filler.fileno(), 0, fs.f_bavail * fs.f_frsize)
    def claim_many():
        for i in range(100_000):
            store.claim(f"{i}").complete()
    refusal(claim_many)
    held.complete(bytes(5000))
    assert store.claim("held").outcome.name == "DONE" and not store.claim("held").kept
    assert store.claim("before").value == b"value"
    store.check()
"""


def test_a_full_file_system_is_told(tmp_path: Path) -> None:
    """In a mount namespace of its own; whoever is not root has one by way of a user namespace."""
    unshare = ["unshare", "-m", *([] if os.geteuid() == 0 else ["-Ur"])]
    mounted = 'mount -t tmpfs -o size=1m tmpfs "$1" && exec "$0" -c "$2" "$1"'
    run = subprocess.run(
        [*unshare, "sh", "-c", mounted, sys.executable, str(tmp_path), FULL],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WATCHDOG_S,
    )
    assert run.returncode == 0, run.stdout
