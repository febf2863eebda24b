"""What is sent, and what comes back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Optional, Union
from urllib.parse import urlsplit

from idemkey import NotKeptError, TooBigError
from idemkey.arguments import as_bytes

from .codec import pack, unpack
from .redaction import Headers, public_headers

if TYPE_CHECKING:
    from idemkey.arguments import Bytes

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
_URL = re.compile(r"[!-~]+")

# Of one connection, or of the body before it was decoded: they would lie about a replay.
_NOT_KEPT = frozenset(
    {"connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding"}
)
_SUCCESS = range(200, 300)


@dataclass(frozen=True)
class Request:
    """An HTTP request as a transport sends it."""

    method: str
    url: str
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        return _first(self.headers, name)


@dataclass(frozen=True)
class Answer:
    """What the server said, now or, if ``replayed``, to an earlier call with this key."""

    status: int
    """The HTTP status."""
    headers: Headers = ()
    """Names and values; a replay lacks secrets (``Set-Cookie``) and those of a connection."""
    body: bytes | None = b""
    """The body, decoded; None: it was too big to be kept."""
    key: str = ""
    """The operation's idempotency key."""
    returned_id: str | None = None
    """The id that the server gave, if the caller was told where it stands."""
    replayed: bool = False
    """Whether it comes from the store: nothing was sent by this call."""
    final: bool = False
    """Whether the operation has ended with it: later calls with the key get it, and send nothing.
    Otherwise it has not happened (401, 404, ...), and the key may be sent again."""

    def header(self, name: str) -> str | None:
        """The first value of a header, or None.

        >>> Answer(503, (("Retry-After", "7"),)).header("retry-after")
        '7'
        """
        return _first(self.headers, name)

    def json(self) -> Any:
        """The body read as JSON.

        Raises:
            NotKeptError: the body was not kept.
            ValueError: it is no JSON.
        """
        if self.body is None:
            raise NotKeptError(
                f"the answer for key {self.key!r} was kept without its body, which was too big: "
                f"its returned_id is {self.returned_id!r}"
            )
        return json.loads(self.body)


ReturnedId = Union[str, Callable[[Answer], Optional[str]]]


def make_request(
    method: str,
    url: str,
    headers: Mapping[str, str] | None,
    json_body: object,
    content: Bytes | str | None,
) -> Request:
    """A request of a user's arguments, checked before anything is claimed or sent.

    JSON is written with sorted names, so that equal data makes equal bytes in every process.
    """
    if not _TOKEN.fullmatch(text_arg("method", method)):
        raise ValueError(f"method is {method!r} and must be a name such as 'POST'")
    _check_url(text_arg("url", url))
    pairs = tuple((headers or {}).items())
    for name, value in pairs:
        check_header(name, value)
    if json_body is not None and content is not None:
        raise TypeError("json and content are both given: a request has one body")
    if json_body is not None:
        text = json.dumps(
            json_body, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
        )
        body = text.encode()
        if _first(pairs, "content-type") is None:
            pairs += (("Content-Type", "application/json"),)
    else:
        content = b"" if content is None else content
        body = content.encode() if isinstance(content, str) else as_bytes("content", content)
    return Request(method.upper(), url, pairs, body)


def text_arg(name: str, value: str) -> str:
    """``value``, or TypeError."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    return value


def check_header(name: str, value: str) -> None:
    """Raises ValueError unless both may stand in an HTTP message."""
    if not _TOKEN.fullmatch(text_arg("headers: a name", name)):
        raise ValueError(f"headers: {name!r} is no name of an HTTP header")
    if not _HEADER_VALUE.fullmatch(
        text_arg(f"headers: {name}", value)
    ):  # not shown: it may be a secret
        raise ValueError(
            f"headers: the value of {name} must be printable Latin-1 without spaces at its ends"
        )


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        right = parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
        right = right and parts.port != 0  # which raises what it thinks of others
    except ValueError:
        right = False
    if not right or not _URL.fullmatch(url):
        shown = re.sub(r"//[^/]*@", "//...@", url)
        raise ValueError(
            f"url is {shown!r} and must be absolute, 'https://host/path', with everything but "
            f"printable ASCII percent-encoded: it is kept for whoever finishes the operation"
        )


def _first(headers: Headers, wanted: str) -> str | None:
    wanted = wanted.lower()
    return next((value for name, value in headers if name.lower() == wanted), None)


def check_where(where: ReturnedId | None) -> ReturnedId | None:
    """``returned_id`` of the caller or of a call, or TypeError."""
    if where is not None and not isinstance(where, str) and not callable(where):
        raise TypeError(
            f"returned_id must be a path such as 'data.id' or a function of the Answer, "
            f"not {type(where).__name__}"
        )
    return where


def find_id(answer: Answer, where: ReturnedId | None) -> str | None:
    """The id in a successful answer: of a function, or by a path of names, ``"data.id"``."""
    if where is None or answer.status not in _SUCCESS:
        return None
    if not isinstance(where, str):
        return where(answer)
    try:
        found = answer.json()
    except ValueError:
        return None
    for name in where.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    plain = isinstance(found, (str, int)) and not isinstance(found, bool)
    return str(found) if plain else None


def keep(answer: Answer, write: Callable[[bytes], None], secret_headers: frozenset[str]) -> Answer:
    """Writes the answer by ``write``; what does not fit goes: first the body, then the headers.

    Returns:
        The answer, marked as final.
    """
    headers = public_headers(answer.headers, secret_headers)[0]
    headers = tuple(pair for pair in headers if pair[0].lower() not in _NOT_KEPT)
    head = {"status": answer.status, "returned_id": answer.returned_id}
    try:
        write(pack("answer", {**head, "headers": headers}, answer.body))
    except TooBigError:
        try:
            write(pack("answer", {**head, "headers": headers}, None))
        except TooBigError:
            write(pack("answer", {**head, "headers": ()}, None))
    return replace(answer, final=True)


def kept_answer(key: str, value: bytes) -> Answer:
    """The answer that `keep` has written for ``key``."""
    head, body = unpack("answer", value)
    return Answer(
        status=head["status"],
        headers=tuple((name, text) for name, text in head["headers"]),
        body=body,
        key=key,
        returned_id=head["returned_id"],
        replayed=True,
        final=True,
    )
