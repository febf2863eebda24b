"""The part of the fuzzing that fits into `make test`: short, seeded, beginning with the corpus."""

import pathlib
import re
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
BUILD = HERE.parent.parent / "build"
# Together with test_arguments.py half a minute.
SECONDS = {"fuzz_image": 18, "fuzz_parsers": 6, "fuzz_http": 6}


def run(target: str, *options: str) -> str:
    """What run.py says, which must have succeeded."""
    command = [sys.executable, str(HERE / "run.py"), target, "--build", str(BUILD), *options]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("target", SECONDS)
def test_damage_is_survived(target: str) -> None:
    output = run(target, "--seconds", str(SECONDS[target]))
    assert "crashes and hangs 0" in output
    # The corpus reaches what the calls can answer: or the run above has looked at nothing.
    if target == "fuzz_image":
        for answer in ("ECORRUPT", "EVERSION", "EFULL", "ENOTFOUND", "ELOST", "EBUSY"):
            assert f"{answer}=" in output, answer
    if target == "fuzz_http":
        for action in ("PASS", "RUN", "WAIT", "REPLAY", "REJECT", "BUFFER", "STREAM", "SEND"):
            assert re.search(rf"answers action {action}: [1-9]", output), action
