"""An HTTP client on a Unix socket that can lose its connection on purpose."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any, NamedTuple

# Longer than a worker is stopped for, so that only a dead one looks dead.
PATIENCE_S = 8.0


class Answer(NamedTuple):
    """One HTTP answer with a JSON body."""

    status: int
    replayed: bool
    body: dict[str, Any]


class Connection(http.client.HTTPConnection):
    """A kept-alive connection; after an error it opens itself again at the next request."""

    def __init__(self, socket_path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE_S)
        self._socket_path = socket_path

    def connect(self) -> None:
        """Connect to the socket, in place of a TCP port."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._socket_path)

    def get(self, path: str) -> int:
        """Return the status of a GET."""
        try:
            self.request("GET", path)
            return self.getresponse().status
        finally:
            self.close()

    def post_payout(self, key: str, amount_cents: int, patience_s: float | None = None) -> Answer:
        """Ask for a payout; with ``patience_s`` drop the connection after so many seconds.

        Raises OSError or HTTPException when the connection was lost: the payout may or may not
        have been made, and the same call is to be sent again.
        """
        headers = {
            "Authorization": "Bearer shop-1",
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        }
        try:
            self.request("POST", "/payouts", json.dumps({"amount_cents": amount_cents}), headers)
            if patience_s is not None:
                self.sock.settimeout(patience_s)
            response = self.getresponse()
            replayed = response.getheader("Idempotent-Replayed") == "true"
            answer = Answer(response.status, replayed, json.loads(response.read()))
            if self.sock is not None:
                self.sock.settimeout(PATIENCE_S)
            return answer
        except BaseException:
            self.close()
            raise
