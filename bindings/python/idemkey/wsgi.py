"""A WSGI middleware that runs each request with an idempotency key once.

The first request with a key runs the application; its response is recorded in the store before
the first byte goes out, and every later request with that key, from any worker process, gets the
same response. What exactly an API promises is a profile: docs/http.md. The store and the middleware
may be made before or after a server forks its workers; no hook is needed.

A handler finds its claim in ``environ["idemkey.claim"]``: see `idemkey.http.Exchange`. Where its
``reconcile`` is true, a worker died at an earlier attempt, and the handler must look at what that
one did before it acts.
"""

from __future__ import annotations

import io
from http import HTTPStatus
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from .http import Action, Engine, Exchange
from .http.config import UNSET
from .http.fields import (
    headers_of,
    raw_path,
    request_fields,
    response_fields,
    status_line,
    without,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import IO, Union

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from .http.engine import Principal
    from .http.fields import Headers
    from .store import Store

    ExcInfo = Union[
        tuple[type[BaseException], BaseException, TracebackType], tuple[None, None, None]
    ]

__all__ = ["CLAIM", "UNROUTED", "IdempotencyMiddleware"]

#: Where a handler finds its claim. Without a key it is not there.
CLAIM: Final = "idemkey.claim"
#: Set to true by what knows that a 404 came from routing, so that it decides nothing. Flask's 404s
#: are seen without.
UNROUTED: Final = "idemkey.unrouted"

_PIECE_BYTES: Final = 1 << 16
_NOT_FOUND: Final = "404"
_KEEP: Final = "x-idemkey-keep"
# Headers that say what the body is, not whose request it is; CGI has names of its own for them.
_ABOUT_BODY: Final = {"content-length": "CONTENT_LENGTH", "content-type": "CONTENT_TYPE"}


class IdempotencyMiddleware:
    """Run each request of ``app`` that carries an idempotency key once.

    Args:
        app: the WSGI application.
        store: the ``idemkey.Store`` that all worker processes share.
        profile, principal, options: those of `idemkey.http.Engine`; a function as principal is
            given the environ.

    >>> def app(environ, start_response):
    ...     start_response("201 Created", [("Location", "/payouts/7")])
    ...     return [b"paid"]
    >>> app = IdempotencyMiddleware(app, store, profile="stripe", principal="Authorization")
    >>> app.engine.counts
    {'stripe': {}}
    """

    engine: Engine
    """The engine; its ``counts`` tell how requests fared."""

    def __init__(
        self,
        app: WSGIApplication,
        store: Store,
        *,
        profile: str | None = None,
        principal: Principal = UNSET,
        **options: Any,
    ) -> None:
        self._app = app
        self.engine = Engine(store, profile=profile, principal=principal, **options)
        # Where the wanted headers stand in an environ, and how the line of each begins.
        wanted = self.engine.wanted
        self._about_key = [
            ("HTTP_" + name.upper().replace("-", "_"), name + ": ")
            for name in wanted
            if name not in _ABOUT_BODY
        ]
        self._about_body = [
            (_ABOUT_BODY[name], name + ": ") for name in wanted if name in _ABOUT_BODY
        ]
        # All at once: most requests with a key have all of them.
        every = self._about_key + self._about_body
        self._take_all = itemgetter(*dict(every)) if every else _nothing
        self._all_lines = "".join(start + "%s\r\n" for _, start in every)
        self._all_count = len(every)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        exchange = self._begin(environ)
        action = exchange.action
        if action is Action.NEED_BODY:
            asked = _ask(exchange, environ)
            if asked is None:
                start_response(status_line(HTTPStatus.LENGTH_REQUIRED), [("Content-Length", "0")])
                return []
            action = asked
        if action is Action.RUN:
            environ[CLAIM] = exchange
            return _run(self._app, exchange, environ, start_response)
        if action is Action.PASS:
            return self._app(environ, start_response)
        start_response(status_line(exchange.status), headers_of(exchange.fields))
        return [exchange.body]

    def _begin(self, environ: WSGIEnvironment) -> Exchange:
        try:
            lines = self._all_lines % self._take_all(environ)
        except KeyError:
            lines = ""
        if lines and ": \r\n" not in lines and lines.count("\n") == self._all_count:
            fields = lines.encode("latin-1")
        else:
            fields = self._fields(environ)
        return self.engine.begin(
            environ["REQUEST_METHOD"].encode("latin-1"),
            raw_path(environ).encode("latin-1"),
            environ.get("QUERY_STRING", "").encode("latin-1"),
            fields,
            self.engine.caller(environ) if fields else None,
        )

    def _fields(self, environ: WSGIEnvironment) -> bytes:
        """The wanted headers that are there; none of the body's if there are no others."""
        get = environ.get
        lines = [
            start + value + "\r\n"
            for variable, start in self._about_key
            if (value := get(variable)) is not None
        ]
        if lines:
            lines += [
                start + value + "\r\n"
                for variable, start in self._about_body
                if (value := get(variable))  # CGI may have an empty one for none
            ]
        return request_fields(lines)


def _nothing(_environ: WSGIEnvironment) -> tuple[str, ...]:
    return ()


def _ask(exchange: Exchange, environ: WSGIEnvironment) -> Action | None:
    """Read the request's body, and decide; None if it can't be read.

    A body of unknown length ends only where the server says that it ends the input. Elsewhere two
    different ones could not be told apart.
    """
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH")
    if length:
        body = _read(stream, int(length))  # the engine has seen it: digits, and not too many
        action = exchange.decide(body)
    elif environ.get("wsgi.input_terminated"):
        pieces = []
        while piece := stream.read(_PIECE_BYTES):
            if exchange.feed(piece) is Action.REJECT:
                return Action.REJECT
            pieces.append(piece)
        body = b"".join(pieces)
        environ["CONTENT_LENGTH"] = str(len(body))
        action = exchange.decide()
    elif environ.get("HTTP_TRANSFER_ENCODING"):
        return None
    else:
        body = b""
        action = exchange.decide()
    if action is Action.WAIT:
        action = exchange.wait()
    if action is Action.RUN or action is Action.PASS:
        environ["wsgi.input"] = io.BytesIO(body)
    return action


def _read(stream: IO[bytes], length: int) -> bytes:
    """Read so many bytes; fewer at the stream's end."""
    body = stream.read(length)
    while len(body) < length:
        piece = stream.read(length - len(body))
        if not piece:
            break
        body += piece
    return body


def _run(
    app: WSGIApplication,
    exchange: Exchange,
    environ: WSGIEnvironment,
    start_response: StartResponse,
) -> Iterable[bytes]:
    """Run the application, and send its response once it is dealt with."""
    response = _Response(exchange, environ, start_response)
    close = None
    try:
        result = app(environ, response.start)
        close = getattr(result, "close", None)
        if isinstance(result, (list, tuple)) and not response.begun:
            parts: Iterable[bytes] = response.whole(b"".join(result))
        else:
            parts = response.parts(iter(result))
    except BaseException as error:
        exchange.abort(error)
        if close is not None:
            close()
        raise
    if close is None and isinstance(parts, list):
        return parts
    return _Sent(parts, exchange, close)


def _is_unrouted(environ: WSGIEnvironment) -> bool:
    if environ.get(UNROUTED):
        return True
    return getattr(environ.get("werkzeug.request"), "routing_exception", None) is not None


class _Response:
    """What the application answers to one request, held back until it is recorded."""

    __slots__ = (
        "_environ",
        "_exchange",
        "_headers",
        "_held",
        "_start_response",
        "_status",
        "_unrouted",
        "_write",
        "begun",
    )

    def __init__(
        self, exchange: Exchange, environ: WSGIEnvironment, start_response: StartResponse
    ) -> None:
        self._exchange = exchange
        self._environ = environ
        self._start_response = start_response
        self._status = ""
        self._unrouted = False
        self._headers: Headers = []
        self._held: list[bytes] = []
        self._write: Callable[[bytes], object] | None = None  # the server's, once it has the head
        #: Whether a part of the body was given.
        self.begun = False

    def start(
        self, status: str, headers: Headers, exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """The application's ``start_response``."""
        if exc_info is not None and exc_info[1] is not None:
            # With a part of the body already given, an error page can't replace it.
            if self.begun:
                raise exc_info[1].with_traceback(exc_info[2])
        elif self._status:
            raise AssertionError("start_response was called twice without exc_info")
        self._status, self._headers = status, headers
        # Now, as Flask forgets its request when it returns.
        self._unrouted = status.startswith(_NOT_FOUND) and _is_unrouted(self._environ)
        return self.write

    def write(self, part: bytes) -> None:
        """The application's ``write``."""
        if self._write is not None:
            self._write(part)
        elif self._take(part):
            write = self._send()
            for held in self._held:
                write(held)
            self._held = []

    def whole(self, body: bytes) -> list[bytes]:
        """Deal with a response whose body this is; what to send of it."""
        status, fields = self._head()
        self._exchange.respond(status, fields, body, unrouted=self._unrouted)
        self._send()
        return [body]

    def parts(self, rest: Iterator[bytes]) -> Iterable[bytes]:
        """Deal with a response whose body comes in parts; what to send of it."""
        if self._write is None:
            for part in rest:
                if self._take(part):
                    self._send()
                    break
            else:
                if not self.begun:
                    self._begin()
                self._exchange.finish()
                self._send()
                return [b"".join(self._held)]
        return chain(self._held, self._stream(rest))

    def _take(self, part: bytes) -> bool:
        """Hold a part of the body back; whether there is too much to go on so."""
        if not part:
            return False
        if not self.begun:
            self._begin()
        self._held.append(part)
        return self._exchange.data(part) is Action.STREAM

    def _begin(self) -> None:
        status, fields = self._head()
        self._exchange.response(status, fields, unrouted=self._unrouted)
        self.begun = True

    def _head(self) -> tuple[int, bytes]:
        if not self._status:
            raise RuntimeError("the application did not call start_response")
        return int(self._status[:3]), response_fields(self._headers)

    def _send(self) -> Callable[[bytes], object]:
        """Send the head, with what the decision adds to it."""
        exchange, headers = self._exchange, self._headers
        if exchange.strip:
            headers = without(headers, _KEEP)
        if added := exchange.fields:
            headers = [*headers, *headers_of(added)]
        self._write = self._start_response(self._status, headers)
        return self._write

    def _stream(self, rest: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from rest
            self._exchange.finish()
        except BaseException as error:
            self._exchange.abort(error)
            raise


class _Sent:
    """Parts of a body on their way, and what is to be ended after them, however far they came."""

    def __init__(
        self, parts: Iterable[bytes], exchange: Exchange, close: Callable[[], object] | None
    ) -> None:
        self._parts = parts
        self._exchange = exchange
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)

    def close(self) -> None:
        self._exchange.close()
        if self._close is not None:
            self._close()
