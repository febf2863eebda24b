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
    encoded_path,
    headers_of,
    request_fields,
    response_fields,
    status_line,
    without,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Union

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

# Names of this module are found faster than attributes of another's class.
_NEED_BODY: Final = Action.NEED_BODY
_PASS: Final = Action.PASS
_RUN: Final = Action.RUN

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
        self._begin = self.engine.begin
        self._caller = self.engine.caller if callable(principal) else None
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
        try:
            fields = self._all_lines % self._take_all(environ)
        except KeyError:
            fields = ""
        if fields.count("\n") != self._all_count or ": \r\n" in fields:
            fields = self._fields(environ)
        target = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
        exchange = self._begin(
            environ["REQUEST_METHOD"],
            target.partition("?")[0] if target[:1] == "/" else encoded_path(environ),
            environ.get("QUERY_STRING", ""),
            fields,
            self._caller(environ) if self._caller is not None and fields else None,
        )
        action: Action | None = exchange.action
        if action is _NEED_BODY:
            action = _ask(exchange, environ)
        if action is _RUN:
            environ[CLAIM] = exchange
            return _Response(exchange, environ, start_response).run(self._app)
        if action is _PASS:
            return self._app(environ, start_response)
        if action is None:
            start_response(status_line(HTTPStatus.LENGTH_REQUIRED), [("Content-Length", "0")])
            return []
        start_response(status_line(exchange.status), headers_of(exchange.fields))
        return [exchange.body]

    def _fields(self, environ: WSGIEnvironment) -> str:
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
        wanted = int(length)  # the engine has seen it: digits, and not too many
        body = stream.read(wanted)
        while len(body) < wanted and (piece := stream.read(wanted - len(body))):
            body += piece
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
    if action is _RUN or action is _PASS:
        environ["wsgi.input"] = io.BytesIO(body)
    return action


def _is_unrouted(environ: WSGIEnvironment) -> bool:
    if environ.get(UNROUTED):
        return True
    return getattr(environ.get("werkzeug.request"), "routing_exception", None) is not None


class _Response:
    """What the application answers to one request, held back until it is recorded."""

    _status = ""
    _headers: Headers
    _unrouted = False
    _begun = False  # a part of the body was given
    _write: Callable[[bytes], object] | None = None  # the server's, once it has the head

    def __init__(
        self, exchange: Exchange, environ: WSGIEnvironment, start_response: StartResponse
    ) -> None:
        self._exchange = exchange
        self._environ = environ
        self._start_response = start_response
        self._held: list[bytes] = []

    def run(self, app: WSGIApplication) -> Iterable[bytes]:
        """Run the application, and send its response once it is dealt with."""
        close = None
        try:
            result = app(self._environ, self.start)
            close = getattr(result, "close", None)
            if isinstance(result, (list, tuple)) and not self._begun:
                parts: Iterable[bytes] = self._whole(b"".join(result))
            else:
                parts = self._parts(iter(result))
        except BaseException as error:
            self._exchange.abort(error)
            if close is not None:
                close()
            raise
        if close is None and type(parts) is list:
            return parts
        return _Sent(parts, self._exchange, close)

    def start(
        self, status: str, headers: Headers, exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """The application's ``start_response``."""
        if exc_info is not None and exc_info[1] is not None:
            # With a part of the body already given, an error page can't replace it.
            if self._begun:
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

    def _whole(self, body: bytes) -> list[bytes]:
        """Deal with a response whose body this is; what to send of it."""
        status, fields = self._head()
        self._exchange.respond(status, fields, body, unrouted=self._unrouted)
        self._send()
        return [body]

    def _parts(self, rest: Iterator[bytes]) -> Iterable[bytes]:
        """Deal with a response whose body comes in parts; what to send of it."""
        if self._write is None:
            for part in rest:
                if self._take(part):
                    self._send()
                    break
            else:
                if not self._begun:
                    self._begin()
                self._exchange.finish()
                self._send()
                return [b"".join(self._held)]
        return chain(self._held, self._stream(rest))

    def _take(self, part: bytes) -> bool:
        """Hold a part of the body back; whether there is too much to go on so."""
        if not part:
            return False
        if not self._begun:
            self._begin()
        self._held.append(part)
        return self._exchange.data(part) is Action.STREAM

    def _begin(self) -> None:
        status, fields = self._head()
        self._exchange.response(status, fields, unrouted=self._unrouted)
        self._begun = True

    def _head(self) -> tuple[int, str]:
        if not self._status:
            raise RuntimeError("the application did not call start_response")
        return int(self._status[:3]), response_fields(self._headers)

    def _send(self) -> Callable[[bytes], object]:
        """Send the head, with what the decision adds to it."""
        exchange, headers = self._exchange, self._headers
        if exchange.changed:
            kept = without(headers, _KEEP) if exchange.strip else headers
            headers = [*kept, *headers_of(exchange.fields)]
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
