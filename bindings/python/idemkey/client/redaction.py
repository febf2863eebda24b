"""Which parts of a request are secrets, and stay out of the store."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Collection

Headers = tuple[tuple[str, str], ...]

#: Stands in a URL for what was left out.
MASK = "***"
_USER = "user:password@"

# Rather a harmless header too many than a password: `Intent.left_out` tells what is not there.
_SECRET = re.compile(
    r"authoriz|cookie|token|secret|passw|credential|signature|session"
    r"|api[-_]?key|(?:^|[-_.])(?:auth|key|jwt|pin|otp|sig|pwd)(?:$|[-_.])"
    r"|[a-z]key$|authenticat",
    re.IGNORECASE,
)


def is_secret(name: str, extra: Collection[str] = ()) -> bool:
    """Whether the header or query parameter ``name`` carries a secret.

    >>> is_secret("X-Api-Key"), is_secret("Content-Type")
    (True, False)
    """
    return bool(_SECRET.search(name)) or name.lower() in extra


def public_headers(headers: Headers, extra: Collection[str]) -> tuple[Headers, tuple[str, ...]]:
    """The headers that may be stored, and the names of the others."""
    kept = tuple((name, value) for name, value in headers if not is_secret(name, extra))
    return kept, tuple(name for name, _ in headers if is_secret(name, extra))


def public_url(url: str, extra: Collection[str]) -> tuple[str, tuple[str, ...]]:
    """The URL with its secrets masked, and what they are.

    >>> public_url("https://me:pw@api.example/a?b=1&token=t", ())
    ('https://api.example/a?b=1&token=***', ('user:password@', '?token'))
    """
    parts = urlsplit(url)
    _, at, netloc = parts.netloc.rpartition("@")
    left_out = [_USER] if at else []
    query = []
    for pair in parts.query.split("&"):
        name, _, value = pair.partition("=")
        if value and is_secret(unquote_plus(name), extra):
            left_out.append(f"?{name}")
            pair = f"{name}={MASK}"
        query.append(pair)
    if not left_out:
        return url, ()
    return urlunsplit(parts._replace(netloc=netloc, query="&".join(query))), tuple(left_out)
