"""Header fields, status lines and paths as text, between a web server's forms and the engine's."""

from __future__ import annotations

from http import HTTPStatus
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Headers = list[tuple[str, str]]
#: As ASGI has them, with names in lower case.
RawHeaders = list[tuple[bytes, bytes]]

_STATUS_LINES: Final = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_SPLIT: Final = methodcaller("partition", ": ")
#: What a path may have as it is: RFC 3986, section 3.3.
PATH_SAFE: Final = "/:@!$&'()*+,;="


def status_line(status: int) -> str:
    """The status with its usual reason phrase.

    >>> status_line(409), status_line(299)
    ('409 Conflict', '299 Unknown')
    """
    return _STATUS_LINES.get(status) or f"{status} Unknown"


def request_fields(lines: list[str]) -> bytes:
    """Lines of a request, each with its CR LF, in one piece.

    A line break within one becomes a character that the engine refuses.
    """
    joined = "".join(lines)
    if joined.count("\n") != len(lines):
        joined = "".join(line[:-2].replace("\n", "\0") + "\r\n" for line in lines)
    return joined.encode("latin-1")


def response_fields(headers: Headers) -> bytes:
    """The headers of an application's response in one piece.

    Raises:
        ValueError: there is a line break or a character beyond Latin-1 in one.
        TypeError: one is no text.
    """
    joined = "\r\n".join(map(": ".join, headers))
    if joined.count("\n") >= len(headers) > 0:
        wrong = next(pair for pair in headers if "\n" in ": ".join(pair))
        raise ValueError(f"the application's header {wrong!r} has a line break in it")
    return (joined + "\r\n").encode("latin-1") if joined else b""


def raw_response_fields(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """As `response_fields`, of bytes."""
    lines = list(map(b": ".join, headers))
    joined = b"\r\n".join(lines)
    if joined.count(b"\n") >= len(lines) > 0:
        wrong = next(line for line in lines if b"\n" in line)
        raise ValueError(f"the application's header {wrong!r} has a line break in it")
    return joined + b"\r\n" if lines else b""


def raw_headers_of(fields: bytes) -> RawHeaders:
    r"""As `headers_of`, in bytes.

    >>> raw_headers_of(b"A: 1\r\nB: b: c\r\n"), raw_headers_of(b"")
    ([(b'a', b'1'), (b'b', b'b: c')], [])
    """
    lines = [line.partition(b": ") for line in fields.split(b"\r\n")[:-1]]
    return [(name.lower(), value) for name, _, value in lines]


def headers_of(fields: bytes) -> Headers:
    r"""The engine's header fields, one by one.

    >>> headers_of(b"A: 1\r\nB: \r\n"), headers_of(b"A: b: c\r\n"), headers_of(b"")
    ([('A', '1'), ('B', '')], [('A', 'b: c')], [])
    """
    lines = fields.decode("latin-1")[:-2]
    if lines.count(": ") == lines.count("\n") + 1:  # as nearly always: split both at once
        parts = iter(lines.replace("\r\n", ": ").split(": "))
        return list(zip(parts, parts))
    return [(name, value) for name, _, value in map(_SPLIT, lines.split("\r\n")) if name]


def without(headers: Headers, lower_name: str) -> Headers:
    """The headers but those of one name."""
    return [pair for pair in headers if pair[0].lower() != lower_name]


def raw_path(environ: Mapping[str, Any]) -> str:
    """A request's path as it was sent, without the query, in a CGI environment.

    Where the server does not tell it, it is encoded anew, so that different paths stay different.

    >>> raw_path({"RAW_URI": "/a%2Fb?c=1"}), raw_path({"SCRIPT_NAME": "/a", "PATH_INFO": "/b%?"})
    ('/a%2Fb', '/a/b%25%3F')
    """
    target = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if target and target[0] == "/":
        return str(target.partition("?")[0])
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return quote(path.encode("latin-1"), PATH_SAFE) or "/"
