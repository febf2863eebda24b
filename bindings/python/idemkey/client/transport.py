"""What sends a request: a client of httpx or requests, or a class of the user's own."""

from __future__ import annotations

import abc
import sys
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    import httpx
    import requests

    from .messages import Answer, Request

    SyncClient = Union[httpx.Client, requests.Session, "Transport"]
    AsyncClient = Union[httpx.AsyncClient, "AsyncTransport"]


class NotSentError(Exception):
    """A transport's word: the request has not left, so sending it again is safe."""


class LostReplyError(Exception):
    """A transport's word: the request may have arrived, and there is no answer."""


class ClientFacts:
    """What a caller asks of a client before it sends."""

    def check(self, request: Request) -> None:
        """Raises what the client has against this request, before anything is claimed."""

    def supplies(self, name: str) -> bool:
        """Whether the client adds the header ``name`` by itself."""
        del name
        return False


class Transport(ClientFacts, abc.ABC):
    """Sends one request, once. A base class for clients other than those of httpx and requests."""

    @abc.abstractmethod
    def send(self, request: Request, timeout: float) -> Answer:
        """Sends the request, without following redirects, and reads the whole answer.

        Raises:
            NotSentError: the connection was not made.
            LostReplyError: anything else went wrong with it.

        Any other exception is passed on to the user; the outcome then counts as unknown.
        """


class AsyncTransport(ClientFacts, abc.ABC):
    """The same for event loops."""

    @abc.abstractmethod
    async def send(self, request: Request, timeout: float) -> Answer:
        """`Transport.send`."""


def sync_transport(client: Any) -> Transport:
    """The transport for a client; its library is not imported unless the user has done so."""
    if isinstance(client, Transport):
        return client
    if _made_by(client, "httpx", "Client"):
        from .httpx import HttpxTransport

        return HttpxTransport(client)
    if _made_by(client, "requests", "Session"):
        from .requests import RequestsTransport

        return RequestsTransport(client)
    raise TypeError(
        f"client is a {type(client).__name__} and must be an httpx.Client, a requests.Session or "
        f"an idemkey.client.Transport (AsyncCaller takes an httpx.AsyncClient)"
    )


def async_transport(client: Any) -> AsyncTransport:
    """The same for `AsyncCaller`."""
    if isinstance(client, AsyncTransport):
        return client
    if _made_by(client, "httpx", "AsyncClient"):
        from .httpx import AsyncHttpxTransport

        return AsyncHttpxTransport(client)
    raise TypeError(
        f"client is a {type(client).__name__} and must be an httpx.AsyncClient or an "
        f"idemkey.client.AsyncTransport (Caller takes the others)"
    )


def _made_by(client: object, library: str, name: str) -> bool:
    cls = getattr(sys.modules.get(library), name, None)
    return cls is not None and isinstance(client, cls)
