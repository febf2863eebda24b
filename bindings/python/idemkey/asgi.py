"""An ASGI middleware that runs each request with an idempotency key once.

It is `idemkey.wsgi` for applications of asyncio.

The event loop is never blocked: the store answers within microseconds, and a duplicate that waits
for the first one's response polls. While the application runs it is not told that its client has
left, so that no framework cancels the operation, and its result is recorded.

A handler finds its claim in ``scope["idemkey.claim"]`` (in Starlette and FastAPI
``request.scope``): see `idemkey.http.Exchange`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from .aio import MS_PER_SECOND, pauses
from .http import Action, Engine, Exchange, Reason
from .http.config import UNSET
from .http.fields import PATH_SAFE, headers_of, request_fields, response_fields

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    from .http.engine import Principal
    from .http.fields import Headers
    from .store import Store

    RawHeaders = Iterable[tuple[bytes, bytes]]
    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

__all__ = ["CLAIM", "UNROUTED", "IdempotencyMiddleware"]

#: Where a handler finds its claim. Without a key it is not there.
CLAIM: Final = "idemkey.claim"
#: Set to true by what knows that a 404 came from routing, so that it decides nothing. Starlette's
#: and FastAPI's 404s are seen without.
UNROUTED: Final = "idemkey.unrouted"

_NOT_FOUND: Final = 404
_KEEP: Final = b"x-idemkey-keep"
# Headers that say what the body is, not whose request it is.
_ABOUT_BODY: Final = frozenset({b"content-length", b"content-type"})
# Ways to send a response past the middleware, which must see it whole.
_SHORTCUTS: Final = "http.response."


class IdempotencyMiddleware:
    """Run each request of ``app`` that carries an idempotency key once.

    Args:
        app: the ASGI application. Lifespan and websockets pass through.
        store: the ``idemkey.Store`` that all worker processes share.
        profile, principal, options: those of `idemkey.http.Engine`; a function as principal is
            given the scope.

    >>> async def app(scope, receive, send):
    ...     await send({"type": "http.response.start", "status": 201, "headers": []})
    ...     await send({"type": "http.response.body", "body": b"paid"})
    >>> app = IdempotencyMiddleware(app, store, profile="stripe", principal="Authorization")
    >>> app.engine.counts
    {'stripe': {}}
    """

    engine: Engine
    """The engine; its ``counts`` tell how requests fared."""

    def __init__(
        self,
        app: ASGIApplication,
        store: Store,
        *,
        profile: str | None = None,
        principal: Principal = UNSET,
        **options: Any,
    ) -> None:
        self._app = app
        self.engine = Engine(store, profile=profile, principal=principal, **options)
        self._wanted = frozenset(name.encode() for name in self.engine.wanted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = self._begin(scope)
        body = None
        if exchange.action is Action.NEED_BODY:
            body = await _read(exchange, receive)
            if body is None:  # the client has left before it had asked for anything
                exchange.close()
                return
            await _decide(exchange)
        if exchange.action is Action.RUN:
            await _run(self._app, exchange, scope, _Request(exchange, body or b"", receive), send)
        elif exchange.action is Action.PASS:
            if body is not None:
                receive = _Request(exchange, body, receive).receive
            await self._app(scope, receive, send)
        else:
            headers = _to_bytes(headers_of(exchange.fields))
            start = {"type": "http.response.start", "status": exchange.status, "headers": headers}
            await send(start)
            await send({"type": "http.response.body", "body": exchange.body})

    def _begin(self, scope: Scope) -> Exchange:
        found = [pair for pair in scope["headers"] if pair[0] in self._wanted]
        if all(name in _ABOUT_BODY for name, _ in found):
            found = []  # there is no key, and the rest is not looked at
        raw_path = scope.get("raw_path") or quote(scope["path"], PATH_SAFE).encode()
        return self.engine.begin(
            scope["method"],
            raw_path.partition(b"?")[0].decode("latin-1"),
            scope.get("query_string", b"").decode("latin-1"),
            request_fields([f"{name}: {value}\r\n" for name, value in _to_text(found)]),
            self.engine.caller(scope) if found else None,
        )


def _to_text(headers: RawHeaders) -> Headers:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _to_bytes(headers: Headers) -> list[tuple[bytes, bytes]]:
    """With names in lower case, as ASGI has them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _read(exchange: Exchange, receive: Receive) -> bytes | None:
    """Read the request's body, no further than it may be long; None if the client leaves."""
    pieces = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        piece = message.get("body", b"")
        pieces.append(piece)
        if exchange.feed(piece) is Action.REJECT or not message.get("more_body", False):
            return b"".join(pieces)


async def _decide(exchange: Exchange) -> None:
    """Decide, also by waiting for the response to the request that came first."""
    if exchange.action is Action.NEED_BODY:
        exchange.decide()
    while exchange.action is Action.WAIT:
        for pause in pauses(int(exchange.retry_after * MS_PER_SECOND)):
            await asyncio.sleep(pause)
            if exchange.decide() is not Action.WAIT:
                break


async def _run(
    app: ASGIApplication, exchange: Exchange, scope: Scope, request: _Request, send: Send
) -> None:
    """Run the application, and send its response once it is dealt with."""
    inner = {**scope, CLAIM: exchange}
    inner["extensions"] = {
        name: extension
        for name, extension in (scope.get("extensions") or {}).items()
        if not name.startswith(_SHORTCUTS)
    }
    response = _Response(exchange, inner, request, send)
    try:
        await app(inner, request.receive, response.send)
        response.check_complete()
    except BaseException as error:
        exchange.abort(error)
        raise
    finally:
        request.let_go()


class _Request:
    """What the application receives: the body, and the client's leaving when it may know of it."""

    def __init__(self, exchange: Exchange, body: bytes, receive: Receive) -> None:
        self._receive = receive
        self._body: bytes | None = body
        self._dealt_with = asyncio.Event()
        if exchange.action is not Action.RUN:
            self.let_go()

    async def receive(self) -> Message:
        """The application's ``receive``."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        # The claim is held: who hears that the client has left would cancel the operation.
        await self._dealt_with.wait()
        return await self._receive()

    def let_go(self) -> None:
        """The claim is held no longer."""
        self._dealt_with.set()


class _Response:
    """What the application answers to one request, held back until it is recorded."""

    def __init__(self, exchange: Exchange, scope: Scope, request: _Request, send: Send) -> None:
        self._exchange = exchange
        self._scope = scope
        self._request = request
        self._send = send
        self._start: Message | None = None
        self._begun = self._streams = self._complete = False
        self._held: list[bytes] = []

    async def send(self, message: Message) -> None:
        """The application's ``send``."""
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] != "http.response.body" or self._complete:
            await self._send(message)  # which the server knows how to answer
        elif self._start is None:
            raise RuntimeError("the application sent a body before http.response.start")
        else:
            await self._take(self._start, message)

    def check_complete(self) -> None:
        """Raise if the application has not answered."""
        if not self._complete:
            raise RuntimeError("the application returned without a complete response")

    async def _take(self, start: Message, message: Message) -> None:
        exchange = self._exchange
        piece, more = message.get("body", b""), message.get("more_body", False)
        if self._streams:
            if not more:
                self._finish()
            await self._send(message)
            return
        self._held.append(piece)
        if not self._begun:
            fields = response_fields(_to_text(start.get("headers", ())))
            status = start["status"]
            exchange.response(status, fields, unrouted=status == _NOT_FOUND and self._unrouted())
            self._begun = True
        exchange.data(piece)
        if not more:
            self._finish()
        elif exchange.action is Action.BUFFER:
            return
        elif exchange.reason is not Reason.NO_REASON:
            self._request.let_go()
        self._streams = True
        await self._send({**start, "headers": self._headers(start)})
        await self._send({**message, "body": b"".join(self._held)})

    def _finish(self) -> None:
        self._exchange.finish()
        self._complete = True
        self._request.let_go()

    def _headers(self, start: Message) -> list[tuple[bytes, bytes]]:
        """With what the decision adds to them."""
        headers = list(start.get("headers", ()))
        if self._exchange.strip:
            headers = [pair for pair in headers if pair[0].lower() != _KEEP]
        return headers + _to_bytes(headers_of(self._exchange.fields))

    def _unrouted(self) -> bool:
        # Starlette's router notes itself, and then the endpoint if it has found one.
        scope = self._scope
        return bool(scope.get(UNROUTED)) or ("router" in scope and "endpoint" not in scope)
