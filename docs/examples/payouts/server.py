"""Starts gunicorn, and ends all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from client import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
START_DEADLINE_S = 20.0
STOP_DEADLINE_S = 10.0
POLL_S = 0.05
HTTP_OK = 200


@contextmanager
def running(folder: Path, region: str) -> Iterator[str]:
    """Run the API while the block runs; yields the path of its socket."""
    command = [sys.executable, "-m", "gunicorn", "--config", str(HERE / "gunicorn.conf.py")]
    environment = {**os.environ, "PAYOUTS_FOLDER": str(folder), "PAYOUTS_REGION": region}
    # A session of its own, so that its process group holds the workers and nobody else.
    master = subprocess.Popen(
        command, cwd=HERE, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        socket_path = str(folder / "socket")
        _wait_until_ready(master, socket_path, folder / "gunicorn.log")
        yield socket_path
        master.terminate()
        master.wait(STOP_DEADLINE_S)
    finally:
        with suppress(ProcessLookupError):  # all of them have left
            os.killpg(master.pid, signal.SIGKILL)
        master.wait()


def _wait_until_ready(master: subprocess.Popen[bytes], socket_path: str, log: Path) -> None:
    give_up_at = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < give_up_at and master.poll() is None:
        try:
            if Connection(socket_path).get("/health") == HTTP_OK:
                return
        except OSError:
            time.sleep(POLL_S)
    text = log.read_text() if log.exists() else "gunicorn said nothing"
    raise RuntimeError(f"the server did not start within {START_DEADLINE_S} s:\n{text}")
