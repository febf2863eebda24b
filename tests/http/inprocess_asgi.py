"""A target that calls the ASGI application as a server would."""

from __future__ import annotations

import asyncio
import threading
import traceback

import asgi_app
from inprocess import InProcess
from message import LOST, Answer
from scene import DEADLINE_S


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

        try:
            await self.app_of(request)(scope(request), receive, send)
            return answer(messages)
        except (Exception, SystemExit):  # which would end a server's loop: here it goes on
            traceback.print_exc()  # seen if the answer was not to be lost
            return LOST


def scope(request):
    length = [] if request.chunked else [(b"content-length", str(len(request.body)).encode())]
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
            *length,
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
