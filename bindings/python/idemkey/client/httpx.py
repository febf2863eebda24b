"""Sending by an `httpx.Client` or `httpx.AsyncClient`."""

from __future__ import annotations

import httpx

from .messages import Answer, Request
from .transport import AsyncTransport, ClientFacts, LostReplyError, NotSentError, Transport

# The connection was not made: not to the server, or not through the proxy to it.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class _Facts(ClientFacts):
    def __init__(self, client: httpx.Client | httpx.AsyncClient) -> None:
        self._facts = client

    def check(self, request: Request) -> None:
        self._message(request, None)

    def supplies(self, name: str) -> bool:
        authorizes = name.lower() == "authorization" and self._facts.auth is not None
        return authorizes or name in self._facts.headers

    def _message(self, request: Request, timeout: float | None) -> httpx.Request:
        return self._facts.build_request(
            request.method,
            request.url,
            content=request.body,
            headers=list(request.headers),
            timeout=timeout,
        )


class HttpxTransport(_Facts, Transport):
    """Sends by an `httpx.Client`, with its base headers, authentication, proxies and limits."""

    def __init__(self, client: httpx.Client) -> None:
        super().__init__(client)
        self._client = client

    def send(self, request: Request, timeout: float) -> Answer:
        """`Transport.send`."""
        message = self._message(request, timeout)
        try:
            return _answer(self._client.send(message, follow_redirects=False))
        except httpx.RequestError as error:
            raise _problem(error) from error


class AsyncHttpxTransport(_Facts, AsyncTransport):
    """Sends by an `httpx.AsyncClient`."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        super().__init__(client)
        self._client = client

    async def send(self, request: Request, timeout: float) -> Answer:
        """`Transport.send`."""
        message = self._message(request, timeout)
        try:
            return _answer(await self._client.send(message, follow_redirects=False))
        except httpx.RequestError as error:
            raise _problem(error) from error


def _answer(response: httpx.Response) -> Answer:
    headers = tuple(response.headers.multi_items())
    return Answer(response.status_code, headers, response.content)


def _problem(error: httpx.RequestError) -> Exception:
    kind = NotSentError if isinstance(error, _NOT_SENT) else LostReplyError
    return kind(f"{type(error).__name__}: {error}")
