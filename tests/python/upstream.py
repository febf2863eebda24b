"""An HTTP server on loopback, in a process of its own, that makes things and misbehaves as told.

A POST makes a thing, ``{"id": "thing_1", ...}``; with an ``Idempotency-Key`` that it has seen it
replays. A plan tells what else happens to the next POSTs, see `Handler.do_POST`.
"""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

from children import DEADLINE_S, eventually


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        length = int(self.headers["Content-Length"] or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # the caller died: half a request is none
            return
        seen = {"path": self.path, "headers": dict(self.headers), "body": body.decode()}
        with server.lock:
            server.seen.append(seen)
            act = server.plan.pop(0) if server.plan else {}
        headers = act.get("headers", {})
        if "status" in act:
            self._say(act["status"], headers, act.get("body", "").encode())
            return
        if act.get("do") == "drop-unread":
            return
        thing, replayed = self._make(body)
        if replayed:
            headers = {**headers, "Idempotent-Replayed": "true"}
        if act.get("do") == "drop":
            return
        if act.get("do") == "hang":
            server.gone.wait()
            return
        if act.get("do") == "cut":
            self.wfile.write(b"HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\nhalf")
            return
        if act.get("do") == "gzip":
            headers, thing = {**headers, "Content-Encoding": "gzip"}, gzip.compress(thing)
        self._say(201, headers, thing)

    def do_GET(self):
        with self.server.lock:
            found = {"seen": self.server.seen, "made": self.server.made}
        self._say(200, {}, json.dumps(found).encode())

    def do_PUT(self):
        plan = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.plan[:] = plan
        self._say(204, {}, b"")

    def _make(self, body):
        key = self.headers["Idempotency-Key"]
        with self.server.lock:
            if key and key in self.server.by_key:
                return self.server.by_key[key], True
            self.server.made.append(body.decode())
            thing = json.dumps({"id": f"thing_{len(self.server.made)}"}).encode()
            if key:
                self.server.by_key[key] = thing
            return thing, False

    def _say(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            for each in value if isinstance(value, list) else [value]:
                self.send_header(name, each)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class _Quiet:
    """A caller that is killed is nothing to report."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass


class Concurrent(_Quiet, ThreadingHTTPServer):
    pass


class InTurn(_Quiet, HTTPServer):
    """One request at a time, in the order of their connections."""


class Upstream:
    """The server as the test sees it. ``listener``: a bound socket to take; None: any port."""

    def __init__(self, fork, kind=Concurrent, listener=None):
        if listener is None:
            listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/things"

        def serve(say):
            server = kind(("127.0.0.1", 0), Handler, bind_and_activate=False)
            server.socket.close()
            server.socket = listener
            server.lock, server.gone = threading.Lock(), threading.Event()
            server.plan, server.seen, server.made, server.by_key = [], [], [], {}
            server.server_activate()
            say("listening")
            server.serve_forever()

        self._child = fork(serve)
        self._child.hear()
        listener.close()

    def plan(self, *acts):
        """What happens to the next POSTs, in turn."""
        self._ask("PUT", json.dumps(acts))

    @property
    def seen(self):
        """The POSTs that arrived."""
        return json.loads(self._ask("GET"))["seen"]

    @property
    def made(self):
        """The bodies of the things that were made."""
        return json.loads(self._ask("GET"))["made"]

    def await_made(self, count):
        eventually(lambda: len(self.made) == count)

    def _ask(self, method, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request(method, "/", body)
            return connection.getresponse().read()
        finally:
            connection.close()
