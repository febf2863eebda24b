"""Targets without a server: the application is called as one would call it."""

from __future__ import annotations

import asyncio
import io
import threading
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import asgi_app
import wsgi_app
from message import LOST, Answer
from scene import DEADLINE_S, KEPT_SCENES, Scene


class InProcess:
    """What the targets share: no worker that may die, no server that refuses anything first."""

    is_server = False
    offers = frozenset({"one-process", "exit"})

    def __init__(self, root):
        self._app = lru_cache(KEPT_SCENES)(lambda name: self.build(Scene(Path(root) / name)))

    def send(self, request):
        return self.exchange(request, None)

    def app_of(self, request):
        return self._app(dict(request.fields)["X-Scene"])

    def close(self):
        self._app.cache_clear()


class Wsgi(InProcess):
    name = "wsgi"
    build = staticmethod(wsgi_app.protected)

    def exchange(self, request, pending):
        """Calls the application as a server would; a client that left is noticed when writing."""
        head = []

        def start_response(status, fields, exc_info=None):
            assert not head or exc_info, "start_response is called twice"
            head[:] = [int(status.split()[0]), list(fields)]
            return lambda data: self._heard(pending)

        result = None
        try:
            result = self.app_of(request)(environ(request), start_response)
            if pending and pending.left.is_set():
                return LOST
            body = b""
            for piece in result:
                self._heard(pending)
                body += piece
        except (Exception, SystemExit):
            return LOST
        finally:
            if hasattr(result, "close"):
                result.close()
        return Answer(head[0], head[1], body)

    @staticmethod
    def _heard(pending):
        if pending:
            pending.heard.set()


def environ(request):
    """The variables; fields of one name are joined, as servers do."""
    variables = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "CONTENT_LENGTH": str(len(request.body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in request.fields:
        variable = name.upper().replace("-", "_")
        variable = variable if variable == "CONTENT_TYPE" else f"HTTP_{variable}"
        before = variables.get(variable)
        variables[variable] = value if before is None else f"{before},{value}"
    return variables


class Asgi(InProcess):
    """One event loop, in a thread of its own, as a worker has it."""

    name = "asgi"
    build = staticmethod(asgi_app.protected)

    def __init__(self, root):
        super().__init__(root)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self):
        super().close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()

    def exchange(self, request, pending):
        call = self._exchange(request, pending)
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(DEADLINE_S)

    async def _exchange(self, request, pending):
        left, messages = asyncio.Event(), []
        incoming = [{"type": "http.request", "body": request.body, "more_body": False}]
        if pending:
            pending.on_leave = lambda: self._loop.call_soon_threadsafe(left.set)

        async def receive():
            if incoming:
                return incoming.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if pending:
                pending.heard.set()
            messages.append(message)

        # A SystemExit would end the loop, as it ends a server: here the loop goes on.
        with suppress(Exception, SystemExit):
            await self.app_of(request)(scope(request), receive, send)
            return answer(messages)
        return LOST


def scope(request):
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": request.query.encode(),
        "root_path": "",
        "headers": [
            (b"content-length", str(len(request.body)).encode()),
            *((name.lower().encode(), value.encode("latin-1")) for name, value in request.fields),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "extensions": {},
    }


def answer(messages):
    start, *rest = messages
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
    assert not rest[-1].get("more_body"), "the response does not end"
    return Answer(start["status"], fields, b"".join(each.get("body", b"") for each in rest))
