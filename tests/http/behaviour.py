"""What the handler of the test applications does: the request says it in its field ``X-Do``.

The field is no part of a request's fingerprint, so a retry may be answered otherwise than the
first request: that it is not shows who answered. tests/vectors/README.md has the members.
"""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass, field

PIECE_BYTES = 1000


class HandlerError(Exception):
    """The application's own failure."""


@dataclass(frozen=True)
class Behaviour:
    status: int = 201
    headers: list = field(default_factory=list)
    body: str | None = None
    size: int = 0
    block: str | None = None
    block_at: int = 0
    fail: str = ""
    fail_in_run: int = 0
    unrouted: bool = False

    @classmethod
    def read(cls, text):
        return cls(**json.loads(text or "{}"))

    def fail_now(self, when, run):
        """Does what ``fail`` says if it is time."""
        if self.fail_in_run not in (0, run):
            return
        if self.fail == when:
            raise HandlerError(f"the handler fails {when}")
        if when == "early" and self.fail == "exit":
            raise SystemExit(1)
        if when == "early" and self.fail == "die":
            os.kill(os.getpid(), signal.SIGKILL)

    def answer(self, resource):
        """Fields and body; ``resource`` is the body where the request asks for none."""
        if self.size:
            kind, body = "application/octet-stream", bytes(i % 256 for i in range(self.size))
        elif self.body is not None:
            kind, body = "text/plain", self.body.encode()
        else:
            kind, body = "application/json", json.dumps(resource).encode()
        return [("Content-Type", kind), *map(tuple, self.headers)], body

    def resource(self, run, path, taken, claim):
        """What is made by an execution: it tells which it was."""
        return {
            "run": run,
            "path": path,
            "received": taken.decode("latin-1"),
            "attempt": claim.attempt if claim else 0,
        }

    def pieces(self, body):
        """The body's pieces, each with whether the handler waits before it."""
        at = 0
        while at < len(body):
            end = min(at + PIECE_BYTES, len(body))
            if at < self.block_at:
                end = min(end, self.block_at)
            yield bool(self.block_at) and at == self.block_at, body[at:end]
            at = end
