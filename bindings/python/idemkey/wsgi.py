"""A WSGI middleware that runs each request with an ``Idempotency-Key`` once.

The first request with a key runs the application; its response is recorded in the store before
the first byte goes out, and every later request with that key, from any worker process, gets the
same response with ``Idempotent-Replayed: true``. What the callers of one principal do is never
shown to another.

===============================================  ==================================================
request                                          answer
===============================================  ==================================================
without the header, or with a safe method        the application's, untouched
bad key, no principal, body cut short            400, nothing runs
body above ``max_request_bytes``                 413, nothing runs
key used with another method, path, query, body  422, nothing runs
key being run by a living worker                 after ``wait`` seconds at most: 409, Retry-After
key done                                         the recorded response
key done, its response not kept, or damaged      409 that says so, nothing runs
key of a worker that died, ``on_crash="hold"``   409 until a person resolves it
store full or broken                             503, nothing runs
===============================================  ==================================================

A response that decides nothing about the operation (5xx, 401, 429, ...) and an exception give the
key back, so that a retry runs again. A worker that exits or is killed leaves the outcome unknown:
the next retry runs with ``environ["idemkey.claim"].outcome`` equal to ``Outcome.RECLAIMED``, and
the application must look at what the earlier attempt did before it acts again.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
from itertools import chain
from typing import TYPE_CHECKING

from idemkey import Claim, Error, Outcome, Store, TooBigError, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from types import TracebackType
    from typing import IO, Literal, Optional, Union

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    ExcInfo = Union[
        tuple[type[BaseException], BaseException, TracebackType], tuple[None, None, None]
    ]
    Headers = list[tuple[str, str]]
    Principal = Union[str, Callable[[WSGIEnvironment], Optional[str]], None]

__all__ = ["IdempotencyMiddleware"]

CLAIM_VARIABLE = "idemkey.claim"
UNSAFE_METHODS = ("POST", "PUT", "PATCH", "DELETE")
KEY_MAX_CHARS = 255  # what the public APIs with such keys accept
STORE_KEY_MAX_BYTES = 1024
DAY_S = 86400.0
BODY_MAX_BYTES = 1 << 20  # as much as the store keeps by default; it is held in memory
READ_CHUNK_BYTES = 1 << 16
LENGTH_PREFIX_BYTES = 4
RETRY_AFTER_S = "1"
FIRST_SERVER_ERROR = 500
# These say "not now" or "not you"; whether the operation happens is left to a later request.
UNDECIDED_STATUSES = frozenset({401, 403, 405, 407, 408, 421, 425, 426, 429})
# Of one connection or one moment; a replay has its own.
HEADERS_NOT_KEPT = frozenset(
    {
        "connection",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
    }
)
# An empty value can't be a recorded response, so it says that the response was not kept.
NOT_KEPT = b""

_log = logging.getLogger(__name__)
_STATUS = re.compile(r"[1-9][0-9]{2}(?: |$)")
_LINE_BREAKERS = frozenset("\r\n\0")


class IdempotencyMiddleware:
    """Run each request of ``app`` that carries an idempotency key once.

    - ``app``: the WSGI application.
    - ``store``: the ``idemkey.Store`` that all worker processes share.
    - ``principal``: who the caller is, so that callers can't meet in one key: the name of a
      request header (``"Authorization"``), a function of the environ that returns a string or
      ``None`` (unknown: 400), or an explicit ``None`` where there is one caller only.
    - ``header``: the request header that carries the key.
    - ``methods``: the methods it applies to; others pass through.
    - ``ttl``: seconds that a key is retained, or ``idemkey.FOREVER``.
    - ``wait``: seconds that a duplicate sleeps for the first request's response before it gets
      409. A waiting request occupies its worker thread.
    - ``on_crash``: ``"reclaim"``: a retry after a worker's death runs again and must reconcile;
      ``"hold"``: it is refused until a person resolves the key.
    - ``max_request_bytes``, ``max_response_bytes``: bodies held in memory. A larger request gets
      413; a larger response is streamed, and a retry of it gets 409.

    Example::

        store = idemkey.Store("/dev/shm/payouts.idem")
        app.wsgi_app = IdempotencyMiddleware(app.wsgi_app, store, principal="Authorization")
    """

    def __init__(
        self,
        app: WSGIApplication,
        store: Store,
        *,
        principal: Principal,
        header: str = "Idempotency-Key",
        methods: Collection[str] = UNSAFE_METHODS,
        ttl: float = DAY_S,
        wait: float = 0.0,
        on_crash: Literal["reclaim", "hold"] = "reclaim",
        max_request_bytes: int = BODY_MAX_BYTES,
        max_response_bytes: int = BODY_MAX_BYTES,
    ) -> None:
        if isinstance(methods, str):
            raise TypeError(f"methods is the string {methods!r}: pass a tuple of methods")
        if on_crash not in ("reclaim", "hold"):
            raise ValueError(f"on_crash is {on_crash!r}: must be 'reclaim' or 'hold'")
        self._app = app
        self._store = store
        self._header = header
        self._header_variable = _environ_name(header)
        self._principal = principal
        self._methods = frozenset(method.upper() for method in methods)
        self._ttl = ttl
        self._wait = wait
        self._on_crash = on_crash
        self._max_request_bytes = max_request_bytes
        self._max_response_bytes = max_response_bytes
        self._unrecorded: list[Claim] = []

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        method = environ["REQUEST_METHOD"]
        key = environ.get(self._header_variable)
        if key is None or method not in self._methods:
            return self._app(environ, start_response)
        try:
            self._check_key(key)
            scope = (method, _path(environ), *self._caller(environ), key)
            request = (method, _path(environ), environ.get("QUERY_STRING", ""))
            body = self._read_body(environ)
            claim = self._claim(_store_key(scope), fingerprint(*map(_bytes, request), body))
        except _RefusalError as refusal:
            return refusal.send(start_response)

        if claim.won:
            environ[CLAIM_VARIABLE] = claim
            return self._run(claim, environ, start_response)
        if claim.outcome is Outcome.DONE and claim.value:
            return self._replay(claim, start_response)
        return _REFUSALS[claim.outcome].send(start_response)

    def _check_key(self, key: str) -> None:
        # Servers join repeated headers with a comma: two keys must not pass for one.
        visible = all(" " < char <= "~" for char in key)
        if not 1 <= len(key) <= KEY_MAX_CHARS or not visible or "," in key:
            raise _RefusalError(
                "400 Bad Request",
                "Bad idempotency key",
                f"{self._header} must be given once, as 1 to {KEY_MAX_CHARS} visible ASCII"
                " characters without a comma.",
            )

    def _caller(self, environ: WSGIEnvironment) -> tuple[str, ...]:
        if self._principal is None:
            return ()
        if callable(self._principal):
            caller = self._principal(environ)
        else:
            caller = environ.get(_environ_name(self._principal))
        if caller is None:
            raise _RefusalError(
                "400 Bad Request",
                "Unknown caller",
                f"A request with {self._header} must say who sends it.",
            )
        return (caller,)

    def _read_body(self, environ: WSGIEnvironment) -> bytes:
        """Read the body and put a copy back for the application."""
        length = _content_length(environ)
        if length is None:
            # Only a server that ends the input itself may be read without a length.
            wanted = self._max_request_bytes + 1 if environ.get("wsgi.input_terminated") else 0
        else:
            wanted = min(length, self._max_request_bytes + 1)
        body = _read(environ["wsgi.input"], wanted)
        if len(body) > self._max_request_bytes:
            raise _RefusalError(
                "413 Content Too Large",
                "Request too large",
                f"A request with {self._header} may have {self._max_request_bytes} bytes of body.",
            )
        if length is not None and len(body) < length:
            raise _RefusalError(
                "400 Bad Request",
                "Request cut short",
                f"The body ended after {len(body)} of {length} bytes; nothing was done.",
            )
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        return body

    def _claim(self, key: bytes, request: bytes) -> Claim:
        try:
            return self._store.claim(
                key, fingerprint=request, ttl=self._ttl, wait=self._wait, on_crash=self._on_crash
            )
        except (Error, OSError) as error:
            _log.error("no claim, so the request was refused: %s", error)
            raise _RefusalError(
                "503 Service Unavailable",
                "Idempotency store unavailable",
                "Nothing was done; retry later with the same key.",
                retry=True,
            ) from error

    def _run(
        self, claim: Claim, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        response = _Response(self._app, environ)
        try:
            whole = response.buffer(self._max_response_bytes)
            undecided = response.code >= FIRST_SERVER_ERROR or response.code in UNDECIDED_STATUSES
        except BaseException as error:
            # An exception is the application's verdict; anything else (a worker's exit) is none.
            _end(claim.release if isinstance(error, Exception) else claim.abandon)
            response.close()
            raise
        if undecided:
            _end(claim.release)
        elif not self._record(claim, response.encode() if whole else NOT_KEPT):
            response.headers.append(("Idempotency-Stored", "false"))
        start_response(response.status, response.headers)
        return response

    def _replay(self, claim: Claim, start_response: StartResponse) -> Iterable[bytes]:
        try:
            status, headers, body = _decode(claim.value or b"")
        except (ValueError, RecursionError) as error:
            _log.error("what is kept for a key is no response: %s", error)
            return _REFUSALS[Outcome.DONE].send(start_response)
        start_response(status, [*headers, ("Idempotent-Replayed", "true")])
        return [body]

    def _record(self, claim: Claim, value: bytes) -> bool:
        try:
            try:
                claim.complete(value)
            except TooBigError:
                claim.complete(NOT_KEPT)
        except (Error, OSError) as error:
            _log.error("the operation was run but could not be recorded: %s", error)
            # Dropping the claim would abandon it, and a retry could run the operation again.
            self._unrecorded.append(claim)
            return False
        return True


def _code(status: str) -> int:
    return int(status.split(" ", 1)[0])


class _RefusalError(Exception):
    """An answer of the middleware's own, as application/problem+json."""

    def __init__(self, status: str, title: str, detail: str, *, retry: bool = False) -> None:
        super().__init__(title)
        self.status = status
        self.body = json.dumps({"title": title, "status": _code(status), "detail": detail}).encode()
        self.headers = [
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(self.body))),
        ]
        if retry:
            self.headers.append(("Retry-After", RETRY_AFTER_S))

    def send(self, start_response: StartResponse) -> Iterable[bytes]:
        start_response(self.status, list(self.headers))
        return [self.body]


_REFUSALS = {
    Outcome.MISMATCH: _RefusalError(
        "422 Unprocessable Content",
        "Idempotency key reused",
        "The key was used with another request; a new operation needs a new key.",
    ),
    Outcome.BUSY: _RefusalError(
        "409 Conflict",
        "Request in flight",
        "A request with this key is being processed; retry later with the same key.",
        retry=True,
    ),
    Outcome.HELD: _RefusalError(
        "409 Conflict",
        "Outcome unknown",
        "The process that ran this operation died; it is held until a person resolves it.",
    ),
    Outcome.DONE: _RefusalError(
        "409 Conflict",
        "Response not kept",
        "The operation was completed, but its response was not kept. It was not run again.",
    ),
}


class _Response:
    """What the application answers, held back until it is recorded, then sent."""

    def __init__(self, app: WSGIApplication, environ: WSGIEnvironment) -> None:
        self.status = ""
        self.headers: Headers = []
        self._result: Iterable[bytes] = ()
        self._written: list[bytes] = []
        self._body = b""
        self._has_body = False
        self._parts = self._run(app, environ)

    def buffer(self, limit: int) -> bool:
        """Run the application to its end, or past ``limit`` bytes; tell if it ended."""
        taken, size = [], 0
        for part in self._parts:
            taken.append(part)
            size += len(part)
            if size > limit:
                break
        self._body = b"".join(taken)
        if not self.status:
            raise RuntimeError("the application did not call start_response")
        return size <= limit

    @property
    def code(self) -> int:
        return _code(self.status)

    def encode(self) -> bytes:
        kept = [pair for pair in self.headers if pair[0].lower() not in HEADERS_NOT_KEPT]
        # JSON escapes every line break, so the first one ends the head.
        head = json.dumps([self.status, kept], separators=(",", ":"))
        return head.encode() + b"\n" + self._body

    def __iter__(self) -> Iterator[bytes]:
        return chain((self._body,), self._parts)

    def close(self) -> None:
        close = getattr(self._result, "close", None)
        if close is not None:
            close()

    def _run(self, app: WSGIApplication, environ: WSGIEnvironment) -> Iterator[bytes]:
        self._result = app(environ, self._start_response)
        for part in self._result:
            yield from self._take_written()
            self._has_body = self._has_body or bool(part)
            yield part
        yield from self._take_written()

    def _start_response(
        self, status: str, headers: Headers, exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        if exc_info is not None and exc_info[1] is not None:
            # With a part of the body already given, an error page can't replace it.
            if self._has_body:
                raise exc_info[1].with_traceback(exc_info[2])
        elif self.status:
            raise AssertionError("start_response was called twice without exc_info")
        self.status, self.headers = status, list(headers)
        return self._write

    def _write(self, data: bytes) -> None:
        self._has_body = self._has_body or bool(data)
        self._written.append(data)

    def _take_written(self) -> list[bytes]:
        written, self._written = self._written, []
        return written


def _decode(value: bytes) -> tuple[str, Headers, bytes]:
    """What `_Response.encode` has made; ValueError, or RecursionError, if it has not."""
    head, _, body = value.partition(b"\n")
    parts = json.loads(head)
    if not (isinstance(parts, list) and len(parts) == 2 and isinstance(parts[1], list)):
        raise ValueError("its head is not a status and a list of headers")
    status, headers = parts
    for pair in headers:
        if not (isinstance(pair, list) and len(pair) == 2 and all(map(_is_line, pair))):
            raise ValueError(f"it has the header {pair!r}")
    if not (_is_line(status) and _STATUS.match(status)):
        raise ValueError(f"it has the status {status!r}")
    return status, [(name, text) for name, text in headers], body


def _is_line(text: object) -> bool:
    """Whether a header or status can be sent; with a line break in it it would be two."""
    return isinstance(text, str) and not _LINE_BREAKERS.intersection(text)


def _store_key(scope: Iterable[str]) -> bytes:
    """Join the parts so that no two different scopes give the same key."""
    joined = b"".join(
        len(part).to_bytes(LENGTH_PREFIX_BYTES, "big") + part for part in map(_bytes, scope)
    )
    if len(joined) <= STORE_KEY_MAX_BYTES:
        return joined
    # A joined key starts with the length of a short method, never with this letter.
    return b"h" + hashlib.blake2b(joined).digest()


def _end(verdict: Callable[[], None]) -> None:
    try:
        verdict()
    except (Error, OSError) as error:  # must not hide the application's answer
        _log.error("the claim could not be given back: %s", error)


def _content_length(environ: WSGIEnvironment) -> int | None:
    text = environ.get("CONTENT_LENGTH")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise _RefusalError("400 Bad Request", "Bad request", "Content-Length is not a number.")
    return int(text)


def _read(stream: IO[bytes], wanted: int) -> bytes:
    taken = bytearray()
    while len(taken) < wanted:
        data = stream.read(min(READ_CHUNK_BYTES, wanted - len(taken)))
        if not data:
            break
        taken += data
    return bytes(taken)


def _path(environ: WSGIEnvironment) -> str:
    return str(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))


def _bytes(text: str) -> bytes:
    # WSGI strings are bytes in disguise; a principal from a function may be any text.
    return text.encode("utf-8", "surrogatepass")


def _environ_name(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")
