"""Header fields, status lines and paths as text, between a web server's forms and the engine's."""

from __future__ import annotations

from http import HTTPStatus
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

Headers = list[tuple[str, str]]

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


def request_fields(lines: list[str]) -> str:
    """Lines of a request, each with its CR LF, in one piece.

    A line break within one becomes a character that the engine refuses.
    """
    joined = "".join(lines)
    if joined.count("\n") != len(lines):
        joined = "".join(line[:-2].replace("\n", "\0") + "\r\n" for line in lines)
    return joined


def response_fields(headers: Headers) -> str:
    """The headers of an application's response in one piece.

    Raises:
        ValueError: there is a line break in one.
        TypeError: one is no text.
    """
    if not headers:
        return ""
    joined = "\r\n".join(map(": ".join, headers)) + "\r\n"
    if joined.count("\n") != len(headers):
        wrong = next(pair for pair in headers if "\n" in ": ".join(pair))
        raise ValueError(f"the application's header {wrong!r} has a line break in it")
    return joined


def headers_of(fields: str) -> Headers:
    r"""The engine's header fields, one by one.

    >>> headers_of("A: 1\r\nB: \r\n"), headers_of("A: b: c\r\n"), headers_of("")
    ([('A', '1'), ('B', '')], [('A', 'b: c')], [])
    """
    lines = fields[:-2]
    if lines.count(": ") == lines.count("\n") + 1:  # as nearly always: split both at once
        parts = iter(lines.replace("\r\n", ": ").split(": "))
        return list(zip(parts, parts))
    return [(name, value) for name, _, value in map(_SPLIT, lines.split("\r\n")) if name]


def without(headers: Headers, lower_name: str) -> Headers:
    """The headers but those of one name."""
    return [pair for pair in headers if pair[0].lower() != lower_name]


def encoded_path(environ: Mapping[str, Any]) -> str:
    """A request's path where the server has decoded it, encoded anew.

    Different paths stay different.

    >>> encoded_path({"SCRIPT_NAME": "/a", "PATH_INFO": "/b%?"}), encoded_path({"PATH_INFO": ""})
    ('/a/b%25%3F', '/')
    """
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return quote(path.encode("latin-1"), PATH_SAFE) or "/"
