"""What a caller was about to do, as the store keeps it, and what became of it."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from .codec import pack, unpack
from .messages import Request
from .redaction import Headers, public_headers, public_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from idemkey import Record

Context = Mapping[str, Any]


class Verdict(enum.Enum):
    """What `reconcile` found out, unless the operation is done (`Done`)."""

    NOT_DONE = enum.auto()
    """It has not happened, and is not about to: it may be sent again, with the same key."""
    UNKNOWN = enum.auto()
    """That cannot be told now: nothing is sent, and the next call or `recover` asks again."""


@dataclass(frozen=True)
class Done:
    """`reconcile` found that the operation has happened: this becomes its answer."""

    returned_id: str | None = None
    """The id that the server gave it."""
    status: int = 200
    """The status that replays will have."""
    headers: Headers = ()
    """Their headers."""
    body: bytes = b""
    """Their body."""


Reconciled = Union[Done, Verdict]


@dataclass(frozen=True)
class Intent:
    """A request that is to be made once, without its secrets.

    It is written before the request is sent, and never changes.
    """

    key: str
    """The idempotency key."""
    method: str
    url: str
    """With passwords and tokens masked."""
    headers: Headers
    """Without credentials and cookies."""
    body: bytes | None
    """None: it was not to be kept, or too big."""
    context: Context | None
    """What the caller of `request` gave for this moment."""
    server_idempotent: bool
    """Whether the key was sent along, to a server that knows it."""
    left_out: tuple[str, ...] = ()
    """Names of the secrets that the request had."""
    attempts: int = 0
    """How many times a caller has begun to send it; a caller may have sent it several times."""
    age: float = 0.0
    """Seconds since the first of them."""

    def json(self) -> Any:
        """The body read as JSON; None if it was not kept.

        Raises:
            ValueError: it is no JSON.
        """
        return None if self.body is None else json.loads(self.body)

    def pack(self) -> bytes:
        """As bytes for the store, whose record has the key, the attempts and the age."""
        head = {
            "method": self.method,
            "url": self.url,
            "headers": self.headers,
            "context": self.context,
            "server_idempotent": self.server_idempotent,
            "left_out": self.left_out,
        }
        return pack("intent", head, self.body)


def make_intent(
    key: str,
    request: Request,
    *,
    context: Context | None,
    keep_body: bool,
    server_idempotent: bool,
    secret_headers: frozenset[str],
) -> Intent:
    """What may be stored of a request."""
    url, url_secrets = public_url(request.url, secret_headers)
    headers, header_secrets = public_headers(request.headers, secret_headers)
    return Intent(
        key=key,
        method=request.method,
        url=url,
        headers=headers,
        body=request.body if keep_body else None,
        context=context,
        server_idempotent=server_idempotent,
        left_out=url_secrets + header_secrets,
    )


def stored_intent(key: str, record: Record) -> Intent:
    """The intent of an unfinished operation.

    Raises:
        VersionError, CorruptError: it cannot be read.
    """
    head, body = unpack("intent", record.intent)
    return Intent(
        key=key,
        method=head["method"],
        url=head["url"],
        headers=tuple((name, value) for name, value in head["headers"]),
        body=body,
        context=head["context"],
        server_idempotent=head["server_idempotent"],
        left_out=tuple(head["left_out"]),
        attempts=record.attempt,
        age=record.age,
    )


def why_unsendable(intent: Intent, supplies: Callable[[str], bool]) -> str | None:
    """Why the intent alone does not make the request again, or None if it does."""
    if intent.body is None:
        return "its body was not kept"
    missing = [name for name in intent.left_out if not supplies(name)]
    if missing:
        return f"{', '.join(missing)} was left out as a secret and the client does not supply it"
    return None
