"""A redis-server of our own, for as long as it is needed."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import redis

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_S = 10.0
POLL_S = 0.02


@contextlib.contextmanager
def running_redis() -> Iterator[str]:
    """Run one on a Unix socket in a temporary folder, without persistence; gives its path."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "redis.sock")
        command = ["redis-server", "--port", "0", "--unixsocket", path, "--save", ""]
        command += ["--appendonly", "no", "--dir", folder]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _await(path)
            yield path
        finally:
            server.terminate()
            server.wait()


def _await(path: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            redis.Redis(unix_socket_path=path).ping()
        except redis.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
        else:
            return
