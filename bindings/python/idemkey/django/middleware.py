"""The middleware, for synchronous and asynchronous servers.

It stands where Django's other middleware does, so it sees what they see: a view's exception has
become a response of 500, which gives the key back, and with ATOMIC_REQUESTS the view's transaction
has been committed before its response is recorded.
"""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpResponse

from ..aio import MS_PER_SECOND, pauses
from ..http import Action, Engine, Exchange
from ..http.fields import PATH_SAFE, encoded_path, headers_of, request_fields, response_fields
from .conf import default_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from typing import Union

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    GetResponse = Callable[[HttpRequest], Union[HttpResponseBase, Awaitable[HttpResponseBase]]]

_KEEP: Final = "X-Idemkey-Keep"
_NOT_FOUND: Final = 404
_LENGTH_REQUIRED: Final = 411
# As CGI has them; others have HTTP_ before them.
_ABOUT_BODY: Final = {"content-length": "CONTENT_LENGTH", "content-type": "CONTENT_TYPE"}


class IdempotencyMiddleware:
    """Run each request that carries an idempotency key once, as the setting ``IDEMKEY`` says.

    A view finds its claim, an `idemkey.http.Exchange`, in ``request.idemkey``; without a key the
    attribute is None. Its `reconcile` is true when an earlier attempt may have done the operation.

    Raises ImproperlyConfigured at the first request, and in the system checks, for a wrong setting.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response: Any = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Answer one request; a coroutine does, where the server is asynchronous."""
        if self._is_async:
            return self._answer_async(request)
        return self._answer(request)

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        engine = default_engine()
        fields = _fields(engine, request)
        exchange = _begin(engine, request, fields, engine.caller(request) if fields else None)
        action = exchange.action
        if action is Action.NEED_BODY:
            if _lacks_length(request):
                return HttpResponse(status=_LENGTH_REQUIRED)
            action = exchange.decide(request.body)
            if action is Action.WAIT:
                action = exchange.wait()
        if action is Action.PASS:
            response: HttpResponseBase = self._get_response(request)
            return response
        if action is not Action.RUN:
            return _refusal_or_replay(exchange)
        request.idemkey = exchange
        try:
            response = self._get_response(request)
            return _recorded(exchange, request, response)
        except BaseException as error:
            exchange.abort(error)
            raise

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        engine = default_engine()
        fields = _fields(engine, request)
        # A principal's function may ask the database for the user.
        caller = await sync_to_async(engine.caller)(request) if fields else None
        exchange = _begin(engine, request, fields, caller)
        if exchange.action is Action.NEED_BODY:
            await _decide_async(exchange, request.body)
        if exchange.action is Action.PASS:
            response: HttpResponseBase = await self._get_response(request)
            return response
        if exchange.action is not Action.RUN:
            return _refusal_or_replay(exchange)
        request.idemkey = exchange
        # A client that leaves cancels this task, but neither the view nor its recording.
        return await asyncio.shield(self._run_async(exchange, request))

    async def _run_async(self, exchange: Exchange, request: HttpRequest) -> HttpResponseBase:
        try:
            response = await self._get_response(request)
            if getattr(response, "is_async", False):
                return await _recorded_async(exchange, request, response)
            return _recorded(exchange, request, response)
        except BaseException as error:
            exchange.abort(error)
            raise


async def _decide_async(exchange: Exchange, body: bytes) -> None:
    action = exchange.decide(body)
    while action is Action.WAIT:
        for pause in pauses(int(exchange.retry_after * MS_PER_SECOND)):
            await asyncio.sleep(pause)
            action = exchange.decide()
            if action is not Action.WAIT:
                break


def _fields(engine: Engine, request: HttpRequest) -> str:
    """The headers that the engine wants; none of the body's if there are no others."""
    meta = request.META
    lines = []
    has_key = False
    for name in engine.wanted:
        value = meta.get(_ABOUT_BODY.get(name) or "HTTP_" + name.upper().replace("-", "_"))
        # CGI may have an empty length or type for none; an empty key is an empty key.
        if value is not None and (value or name not in _ABOUT_BODY):
            lines.append(f"{name}: {value}\r\n")
            has_key = has_key or name not in _ABOUT_BODY
    return request_fields(lines) if has_key else ""


def _begin(
    engine: Engine, request: HttpRequest, fields: str, caller: str | bytes | None
) -> Exchange:
    request.idemkey = None
    query = request.META.get("QUERY_STRING", "")
    return engine.begin(request.method or "", _path(request), query, fields, caller)


def _path(request: HttpRequest) -> str:
    """The request's path as it was sent, where the server tells it."""
    scope = getattr(request, "scope", None)
    if scope is not None:
        raw: bytes = scope.get("raw_path") or quote(scope["path"], PATH_SAFE).encode()
        return raw.partition(b"?")[0].decode("latin-1")
    target: str = request.META.get("RAW_URI") or request.META.get("REQUEST_URI") or ""
    return target.partition("?")[0] if target[:1] == "/" else encoded_path(request.META)


def _lacks_length(request: HttpRequest) -> bool:
    """Django reads no body without a length, so that two different ones could not be told apart."""
    meta = request.META
    return bool(meta.get("HTTP_TRANSFER_ENCODING")) and not meta.get("CONTENT_LENGTH")


def _refusal_or_replay(exchange: Exchange) -> HttpResponse:
    response = HttpResponse(exchange.body, status=exchange.status)
    del response["Content-Type"]  # Django's guess
    seen: set[str] = set()
    for name, value in headers_of(exchange.fields):
        lower = name.lower()
        # Django has one value of a name: several are joined, as RFC 9110, section 5.3, allows.
        response[name] = f"{response[name]}, {value}" if lower in seen else value
        seen.add(lower)
    return response


def _head(exchange: Exchange, request: HttpRequest, response: HttpResponseBase) -> None:
    unrouted = response.status_code == _NOT_FOUND and request.resolver_match is None
    fields = response_fields([(str(name), str(value)) for name, value in response.items()])
    exchange.response(response.status_code, fields, unrouted=unrouted)


def _tell(exchange: Exchange, response: HttpResponseBase) -> None:
    """What the decision changes in the response's head."""
    if exchange.strip:
        del response[_KEEP]
    for name, value in headers_of(exchange.fields):
        response[name] = value


def _recorded(exchange: Exchange, request: HttpRequest, response: Any) -> HttpResponseBase:
    """Record the response; what to send."""
    _head(exchange, request, response)
    if not response.streaming:
        exchange.data(response.content)
        exchange.finish()
    else:
        held = []
        parts = iter(response.streaming_content)
        for part in parts:
            held.append(part)
            if exchange.data(part) is Action.STREAM:
                response.streaming_content = chain(held, _rest(exchange, parts))
                break
        else:
            exchange.finish()
            response.streaming_content = held
    _tell(exchange, response)
    sent: HttpResponseBase = response
    return sent


def _rest(exchange: Exchange, parts: Iterator[bytes]) -> Iterator[bytes]:
    """The rest of a response that streams; then the exchange's end."""
    try:
        yield from parts
    except BaseException as error:
        exchange.abort(error)
        raise
    exchange.finish()


async def _recorded_async(
    exchange: Exchange, request: HttpRequest, response: Any
) -> HttpResponseBase:
    """As `_recorded`, of a response whose parts come from an asynchronous iterator."""
    _head(exchange, request, response)
    held = []
    parts = aiter_of(response.streaming_content)
    streams = False
    async for part in parts:
        held.append(part)
        if exchange.data(part) is Action.STREAM:
            streams = True
            break
    if not streams:
        exchange.finish()
    response.streaming_content = _all_async(exchange, held, parts if streams else None)
    _tell(exchange, response)
    sent: HttpResponseBase = response
    return sent


def aiter_of(content: Any) -> AsyncIterator[bytes]:
    """The built-in ``aiter``, which came with Python 3.10."""
    iterator: AsyncIterator[bytes] = content.__aiter__()
    return iterator


async def _all_async(
    exchange: Exchange, held: list[bytes], rest: AsyncIterator[bytes] | None
) -> AsyncIterator[bytes]:
    for part in held:
        yield part
    if rest is None:
        return
    try:
        async for part in rest:
            yield part
    except BaseException as error:
        exchange.abort(error)
        raise
    exchange.finish()
