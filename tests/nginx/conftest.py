"""A gateway of nginx before the test application, with several workers of both."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "http"))

from scene import eventually  # noqa: E402
from servers import Server  # noqa: E402


class Gateway(Server):
    """A target: nginx. ``options`` are filled into nginx.conf.in."""

    def __init__(self, folder, **options):
        self.folder = folder
        self.scenes = folder / "scenes"
        self.scenes.mkdir()
        arguments = [f"{name}={value}" for name, value in options.items()]
        super().__init__("nginx", self.scenes, *arguments, kinds={"nginx": self._command})

    def _command(self, fd, *arguments):
        return [sys.executable, str(HERE / "gateway.py"), str(fd), str(self.folder), *arguments]

    @property
    def master(self):
        return int((self.folder / "nginx.pid").read_text())

    def workers(self):
        """Process ids of nginx's workers."""
        children = Path(f"/proc/{self.master}/task/{self.master}/children")
        return {int(pid) for pid in children.read_text().split()}

    def kill_workers(self):
        """Kills all, and waits until nginx has as many new ones."""
        old = self.workers()
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: len(self.workers() - old) == len(old), "new workers")

    def reload(self):
        """Has nginx start new workers; the old ones may still end what they have begun."""
        old = self.workers()
        os.kill(self.master, signal.SIGHUP)
        eventually(lambda: len(self.workers() - old) >= len(old), "new workers")
        return old


def closing(gateway):
    yield gateway
    print(gateway.log())
    gateway.close()


@pytest.fixture(scope="session")
def gateway(tmp_path_factory):
    """The gateway that most tests share."""
    yield from closing(Gateway(tmp_path_factory.mktemp("gateway")))


@pytest.fixture(scope="session")
def watching_gateway(tmp_path_factory):
    """One that notices when a client has left."""
    folder = tmp_path_factory.mktemp("watching")
    yield from closing(Gateway(folder, CHECK_CLIENT_ABORT="on"))


@pytest.fixture
def hasty_gateway(tmp_path):
    """One whose old workers do not wait long after a reload."""
    yield from closing(Gateway(tmp_path, SHUTDOWN_TIMEOUT="50ms", WORKERS="2"))
