"""Many clients that fire one request at once."""

from __future__ import annotations

import io
import selectors
import socket
from contextlib import suppress

from clients import on_the_wire, read_answer
from scene import DEADLINE_S


class _Client:
    def __init__(self, address):
        self.connection = socket.create_connection(address, DEADLINE_S)
        self._received = b""

    def read(self):
        """Whether the server has closed, after taking what there is."""
        try:
            data = self.connection.recv(1 << 16)
        except ConnectionError:
            data = b""
        self._received += data
        return not data

    def makefile(self, _mode):
        return io.BytesIO(self._received)


class Burst:
    """``count`` connections, each with a request that lacks its last byte, until `fire`."""

    def __init__(self, address, request, count):
        self._method = request.method
        data = on_the_wire(request)
        self._last = data[-1:]
        self._waiting = selectors.DefaultSelector()
        for _ in range(count):
            client = _Client(address)
            client.connection.sendall(data[:-1])
            self._waiting.register(client.connection, selectors.EVENT_READ, client)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leave()
        self._waiting.close()

    def _clients(self):
        return [key.data for key in list(self._waiting.get_map().values())]

    def fire(self):
        for client in self._clients():
            with suppress(ConnectionError):
                client.connection.sendall(self._last)
        return self

    def answers(self, count=None):
        """The next ``count`` answers, or all that are still to come."""
        wanted = len(self._clients()) if count is None else count
        answers = []
        while len(answers) < wanted:
            ready = self._waiting.select(DEADLINE_S)
            assert ready, f"{len(answers)} of {wanted} answers came"
            for key, _ in ready:
                if key.data.read():
                    self._end(key.data)
                    answers.append(read_answer(key.data, self._method))
        assert len(answers) == wanted, f"{len(answers)} instead of {wanted} are answered"
        return answers

    def leave(self):
        """Those without an answer go away."""
        for client in self._clients():
            self._end(client)

    def _end(self, client):
        self._waiting.unregister(client.connection)
        client.connection.close()
