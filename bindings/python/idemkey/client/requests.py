"""Sending by a `requests.Session`."""

from __future__ import annotations

import requests
from urllib3.exceptions import MaxRetryError, NewConnectionError

from .messages import Answer, Request
from .transport import LostReplyError, NotSentError, Transport


class RequestsTransport(Transport):
    """Sends by a `requests.Session`, with its headers, authentication, proxies and adapters."""

    def __init__(self, session: requests.Session) -> None:
        self._session = session

    def send(self, request: Request, timeout: float) -> Answer:
        """`Transport.send`."""
        try:
            response = self._session.request(
                request.method,
                request.url,
                data=request.body,
                headers=dict(request.headers),
                timeout=timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            kind = NotSentError if _not_sent(error) else LostReplyError
            raise kind(f"{type(error).__name__}: {error}") from error
        # urllib3's headers keep what a server said twice; those of requests join it by commas.
        headers = tuple(response.raw.headers.iteritems())
        return Answer(response.status_code, headers, response.content)

    def check(self, request: Request) -> None:
        """`Transport.check`."""
        self._session.prepare_request(
            requests.Request(
                request.method, request.url, data=request.body, headers=dict(request.headers)
            )
        )

    def supplies(self, name: str) -> bool:
        """`Transport.supplies`."""
        authorizes = name.lower() == "authorization" and self._session.auth is not None
        return authorizes or name in self._session.headers


def _not_sent(error: requests.RequestException) -> bool:
    """Whether the connection was not made."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)
