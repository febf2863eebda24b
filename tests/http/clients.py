"""The clients that requests are sent with: each gives the answer as it was on the wire."""

from __future__ import annotations

import socket
import subprocess
from contextlib import suppress
from http.client import HTTPException, HTTPResponse

import httpx
import requests
from message import LOST, Answer
from scene import DEADLINE_S

# A client that keeps a connection keeps its worker: each request is to meet any of them.
CLOSE = ("Connection", "close")
NO_PROXIES = {"http": None}
CURL_LOST = {52, 56}  # an empty reply, a connection reset


def on_the_wire(request):
    """The request's bytes."""
    lines = [f"{request.method} {request.target} HTTP/1.1", "Host: localhost"]
    fields = [*request.fields, CLOSE, ("Content-Length", str(len(request.body)))]
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + request.body


def read_answer(connection, method):
    """The answer that a socket gives, or a stand-in with a ``makefile``."""
    try:
        with HTTPResponse(connection, method=method) as response:
            response.begin()
            return Answer(response.status, response.getheaders(), response.read())
    except (HTTPException, ConnectionError):
        return LOST


class Plain:
    """A socket: sends whatever it is told to, and can leave."""

    def __init__(self, address):
        self._address = address

    def send(self, request):
        return self.exchange(request, None)

    def exchange(self, request, pending):
        with socket.create_connection(self._address, DEADLINE_S) as connection:
            if pending:
                pending.on_leave = lambda: connection.shutdown(socket.SHUT_RDWR)
            with suppress(ConnectionError):  # refused before all was sent: the answer says why
                connection.sendall(on_the_wire(request))
            with suppress(ConnectionError):
                if pending and connection.recv(1, socket.MSG_PEEK):
                    pending.heard.set()
            return read_answer(connection, request.method)


class Httpx:
    name = "httpx"

    def __init__(self, address):
        self._base = "http://{}:{}".format(*address)
        self._client = httpx.Client(timeout=DEADLINE_S, trust_env=False)

    def send(self, request):
        try:
            got = self._client.request(
                request.method,
                self._base + request.target,
                headers=[*request.fields, CLOSE],
                content=iter([request.body]) if request.chunked else request.body,
            )
        except httpx.TransportError:
            return LOST
        fields = [(name.decode(), value.decode("latin-1")) for name, value in got.headers.raw]
        return Answer(got.status_code, fields, got.content)

    def close(self):
        self._client.close()


class Requests:
    """A session would take up a connection again that uWSGI is about to close without saying so."""

    name = "requests"

    def __init__(self, address):
        self._base = "http://{}:{}".format(*address)

    def send(self, request):
        names = [name.lower() for name, _ in request.fields]
        assert len(names) == len(set(names)), "requests sends a field once"
        try:
            got = requests.request(
                request.method,
                self._base + request.target,
                headers=dict([*request.fields, CLOSE]),
                data=request.body,
                timeout=DEADLINE_S,
                allow_redirects=False,
                proxies=NO_PROXIES,
            )
        except requests.ConnectionError:
            return LOST
        return Answer(got.status_code, list(got.raw.headers.items()), got.content)

    def close(self):
        """Nothing is kept."""


class Curl:
    name = "curl"

    def __init__(self, address):
        self._base = "http://{}:{}".format(*address)

    def send(self, request):
        command = ["curl", "--silent", "--include", "--path-as-is", "--globoff", "--noproxy", "*"]
        command += ["--max-time", str(DEADLINE_S)]
        for name, value in [*request.fields, CLOSE]:
            command += ["--header", f"{name}: {value}" if value else f"{name};"]
        if request.method == "HEAD":
            command += ["--head"]
        else:
            command += ["--request", request.method, "--data-binary", "@-"]
        done = subprocess.run(
            [*command, self._base + request.target], input=request.body, capture_output=True
        )
        if done.returncode in CURL_LOST:
            return LOST
        assert done.returncode == 0, f"curl ended with {done.returncode}"
        head, body = done.stdout.split(b"\r\n\r\n", 1)
        status, *lines = head.decode("latin-1").split("\r\n")
        fields = [tuple(line.split(": ", 1)) for line in lines]
        return Answer(int(status.split()[1]), fields, body)

    def close(self):
        """Nothing is kept."""


CLIENTS = [Curl, Httpx, Requests]
