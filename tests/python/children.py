"""Forked children that report to the test, and waiting with a deadline."""

from __future__ import annotations

import json
import os
import select
import signal
import time
import traceback

# Only a hang takes so long, however busy the machine.
DEADLINE_S = 60.0
POLL_S = 0.005


def eventually(condition):
    """The first true value of ``condition()``, polled; fails at the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(POLL_S)


class Child:
    """A forked process that runs ``fn(say)``; what it says is heard in order."""

    def __init__(self, fn):
        self._read, write = os.pipe()
        self._heard = b""
        self.status = None
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(self._read)
                fn(lambda thing=None: os.write(write, json.dumps(thing).encode() + b"\n"))
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(write)

    def hear(self):
        """What the child says next."""
        while b"\n" not in self._heard:
            ready, _, _ = select.select([self._read], [], [], DEADLINE_S)
            assert ready, "the child says nothing"
            data = os.read(self._read, 4096)
            assert data, "the child has ended"
            self._heard += data
        line, self._heard = self._heard.split(b"\n", 1)
        return json.loads(line)

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        """SIGKILL, and its death awaited."""
        self.signal(signal.SIGKILL)
        self._reap()

    def wait(self):
        """Waits until it ends; its status, negative for a signal."""
        eventually(self._ended)
        return self.status

    def join(self):
        """Waits until it ends well."""
        status = self.wait()
        assert status == 0, f"the child ended with {status}"

    def end(self):
        if self.status is None:
            self.kill()
        if self._read >= 0:
            os.close(self._read)
            self._read = -1

    def _ended(self):
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.status = os.waitstatus_to_exitcode(status)
        return pid != 0

    def _reap(self):
        _, status = os.waitpid(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
