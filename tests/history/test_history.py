"""Recorded histories are linearizable, and the checker knows one that is not (see prove.py)."""

from __future__ import annotations

import importlib.util
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROGRAMS = ROOT / "build" / "history"
OPERATIONS = 60000
# Of a broken store: so many that nearly every history shows the fault. A race may be missed,
# though; so more than one is made.
BROKEN_OPERATIONS = 30000
BROKEN_RUNS_MAX = 8
REJECTED = 1

_SPEC = importlib.util.spec_from_file_location("idemkey_history_prove", HERE / "prove.py")
assert _SPEC is not None and _SPEC.loader is not None
prove = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = prove
_SPEC.loader.exec_module(prove)


def check(history: pathlib.Path) -> subprocess.CompletedProcess[str]:
    return prove.run([PROGRAMS / "check", history], 0)


def test_a_recorded_history_is_linearizable(tmp_path: pathlib.Path) -> None:
    seed = prove.first_seed()
    recorded = prove.run([PROGRAMS / "record", tmp_path / "history.txt", str(OPERATIONS)], seed)
    assert recorded.returncode == 0, recorded.stdout
    checked = check(tmp_path / "history.txt")
    assert checked.returncode == 0, f"seed {seed}\n{recorded.stdout}{checked.stdout}"
    print(f"seed {seed}\n{recorded.stdout}{checked.stdout}")
    figures = prove.figures(recorded.stdout + checked.stdout)
    # Something was to be seen: calls that met, and calls that were cut off.
    assert figures["operations"] >= OPERATIONS * 0.9
    assert figures["overlapping"] > 0 and figures["unknown"] > 0, figures


@pytest.mark.parametrize("name", sorted(path.stem for path in (HERE / "broken").glob("*.sed")))
def test_a_broken_store_is_found_out(name: str, tmp_path: pathlib.Path) -> None:
    seed = prove.first_seed()
    for number in range(BROKEN_RUNS_MAX):
        history = tmp_path / f"{number}.txt"
        # Its own checks may fail as well, after the history is written.
        prove.run([PROGRAMS / f"record_{name}", history, str(BROKEN_OPERATIONS)], seed + number)
        checked = check(history)
        if checked.returncode != 0:
            assert checked.returncode == REJECTED, checked.stdout
            return
    pytest.fail(f"{BROKEN_RUNS_MAX} histories of a store with {name} were accepted, seed {seed}")


@pytest.mark.parametrize("path", sorted((HERE / "examples").glob("*/*.txt")), ids=lambda p: p.stem)
def test_example(path: pathlib.Path) -> None:
    expected = 0 if path.parent.name == "good" else REJECTED
    checked = check(path)
    assert checked.returncode == expected, checked.stdout
