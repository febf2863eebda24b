"""Both demonstrations in their short form: what a person sees must also hold."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PAYOUTS = Path(__file__).resolve().parents[2] / "docs" / "examples" / "payouts"
DEADLINE_S = 120
OPERATIONS = 150
KILLS = 3
SHARED_MEMORY = Path("/dev/shm")


def show(*command):
    """Runs a demonstration to its end, in a process group that is ended whatever happens."""
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.terminate()  # so that it clears away what it started
        process.communicate(timeout=DEADLINE_S)
        raise
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    print(out, err)
    return process.returncode, out, err


def regions():
    return set(SHARED_MEMORY.glob("payouts-*"))


def test_payouts_are_made_once_though_workers_are_killed(seed):
    before = regions()
    run = [str(PAYOUTS / "run.py"), "--operations", str(OPERATIONS), "--kills", str(KILLS)]
    status, out, _ = show(*run, "--seed", str(seed))
    figures = json.loads(out.splitlines()[-1])
    assert figures["operations"] >= OPERATIONS
    assert figures["executed"] == figures["operations"] == figures["keys"]
    assert figures["executed_twice"] == figures["lost"] == figures["wrong_answers"] == 0
    assert figures["mismatches_wrong"] == figures["keys_unfinished"] == 0
    assert figures["workers_killed"] == KILLS
    assert figures["workers_stopped"] == 1
    assert figures["answers_while_stopped"] > 0
    assert figures["recovered"] >= 1
    assert figures["requests"] > figures["operations"]
    assert figures["replayed"] > 0
    assert (figures["seed"], figures["check"], figures["errors"]) == (seed, "OK", [])
    assert status == 0
    assert regions() == before


def test_the_store_alone_keeps_its_promises():
    status, out, _ = show("-m", "idemkey", "demo", "--keys", "3000")
    figures = json.loads(out.splitlines()[-1])
    assert figures["raced_wins"] == figures["raced_keys"]
    for scene in ("replayed", "mismatches", "reclaimed", "held", "resolved"):
        assert figures[scene] == 1
    assert figures["claims_beside_stopped"] > 0
    assert figures["keys"] == 3000
    assert figures["claims_per_s"] > 0
    assert figures["lookups_per_s"] > 0
    assert figures["bytes_per_key"] > 0
    assert figures["check"] == "OK"
    assert status == 0


def test_without_a_command_the_usage_is_printed():
    status, out, _ = show("-m", "idemkey")
    assert status == 0
    assert "usage: python -m idemkey" in out
    assert "demo" in out


@pytest.mark.parametrize(
    "command",
    [("-m", "idemkey", "demo", "--keys", "0"), (str(PAYOUTS / "run.py"), "--operations", "-1")],
    ids=["idemkey", "payouts"],
)
def test_a_number_that_makes_no_sense_is_refused(command):
    status, _, err = show(*command)
    assert status != 0
    assert "must be at least 1" in err
