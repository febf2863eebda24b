"""Real servers with the test applications, each with several workers.

A server listens on a loopback socket that the test bound, so no port is guessed. It lives in a
session of its own and is ended with all its workers, by its own process group.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from copy import copy
from pathlib import Path

from clients import Httpx, Plain
from message import Request
from scene import eventually

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
WORKERS = 4
THREADS = 4
# All of a burst may connect before one is accepted; uWSGI refuses to ask for more than there is.
BACKLOG = min(512, int(Path("/proc/sys/net/core/somaxconn").read_text()))
LIFE_S = "900"  # should the tests be ended before they can end it
BUFFER_BYTES = "65535"  # of uWSGI, for a request's head
LOG_SHOWN_BYTES = 6000
PROBE = Request("GET", "/", "", (), b"")


def gunicorn(worker_class, *more):
    def command(fd, *options):
        return [
            sys.executable, "-m", "gunicorn", "--bind", f"fd://{fd}", "--workers", str(WORKERS),
            "--worker-class", worker_class, "--timeout", "60", "--limit-request-field_size", "0",
            "--backlog", str(BACKLOG), *more, *options,
            "wsgi_app:application",
        ]  # fmt: skip

    return command


def uvicorn(fd, *options):
    return [
        sys.executable, "-m", "uvicorn", "--fd", str(fd), "--workers", str(WORKERS),
        "--no-access-log", "--backlog", str(BACKLOG), *options, "asgi_app:application",
    ]  # fmt: skip


def uwsgi(fd, *options):
    return [
        str(BIN / "pyuwsgi"), "--http-socket", f"fd://{fd}", "--master", "--need-app",
        "--processes", str(WORKERS), "--enable-threads", "--buffer-size", BUFFER_BYTES,
        "--listen", str(BACKLOG), "--disable-logging", "--single-interpreter", *options,
        "--module", "wsgi_app:application",
    ]  # fmt: skip


KINDS = {
    "gunicorn-sync": gunicorn("sync"),
    "gunicorn-gthread": gunicorn("gthread", "--threads", str(THREADS)),
    "uvicorn": uvicorn,
    "uwsgi": uwsgi,
}
# A thread of gthread that exits leaves its client waiting; the others start a new worker slowly, so
# that one of them is enough. uWSGI reads no chunked body unless the application calls its own API.
ALL_OFFER = {"workers", "exceptions", "stream", "repeated-fields"}
OFFERS = {
    "gunicorn-sync": ALL_OFFER | {"chunked", "exit"},
    "gunicorn-gthread": ALL_OFFER | {"chunked"},
    "uvicorn": ALL_OFFER | {"chunked"},
    "uwsgi": ALL_OFFER,
}


class Server:
    """A target: a server, spoken to with one of the clients."""

    is_server = True

    def __init__(self, kind, scenes, *options, preloaded="", kinds=KINDS):
        self.name = kind
        self._log = scenes.parent / f"{scenes.name}-{kind}.log"
        with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
            self.address = listener.getsockname()
            fd = listener.fileno()
            with self._log.open("wb") as log:
                self.process = subprocess.Popen(
                    ["timeout", "--signal=KILL", LIFE_S, *kinds[kind](fd, *options)],
                    cwd=HERE,
                    env={
                        **os.environ,
                        "SCENES": str(scenes),
                        "PRELOADED": preloaded,
                        "PYTHONPATH": str(HERE),
                    },
                    pass_fds=[fd],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        self._plain = Plain(self.address)
        self.client = Httpx(self.address)
        try:
            eventually(self._is_up, f"{kind} answers")
        except (AssertionError, OSError) as error:
            self.close()
            raise AssertionError(f"{error}\n{self.log()}") from None

    def _is_up(self):
        assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}"
        return self._plain.send(PROBE).status == 200

    def spoken_to_by(self, client):
        """The same server as a target with another client."""
        target = copy(self)
        target.client = client(self.address)
        target.name = f"{self.name}-{client.name}"
        return target

    def send(self, request):
        """One request by the client; what a client will not send goes over a plain socket."""
        return (self.client if request.legal else self._plain).send(request)

    def exchange(self, request, pending):
        return self._plain.exchange(request, pending)

    def has_said(self, text):
        return text in self._log.read_text(errors="replace")

    def log(self):
        """The end of what it said."""
        with self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - LOG_SHOWN_BYTES))
            return log.read().decode(errors="replace")

    def close(self):
        with suppress(ProcessLookupError):  # all of them have left
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.client.close()
