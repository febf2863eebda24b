"""How intents and answers lie in the store: a line of JSON, then the body's bytes as they are."""

from __future__ import annotations

import json
from typing import Any

from idemkey import CorruptError, VersionError

#: Raised when a field changes its meaning; a reader refuses what is newer than itself.
VERSION = 1
_VERSION_FIELD = "idemkey.client"


def pack(kind: str, head: dict[str, Any], body: bytes | None) -> bytes:
    """``head`` as JSON, and the body; None: it was not kept, which the head says."""
    marks = {_VERSION_FIELD: VERSION, "kind": kind, "body_kept": body is not None}
    line = json.dumps({**marks, **head}, ensure_ascii=False, separators=(",", ":"))
    return line.encode() + b"\n" + (body or b"")


def unpack(kind: str, data: bytes) -> tuple[dict[str, Any], bytes | None]:
    """What `pack` was given.

    Raises:
        VersionError: a newer version wrote it.
        CorruptError: it is something else.
    """
    line, _, body = data.partition(b"\n")
    try:
        head = json.loads(line)
        version = head[_VERSION_FIELD]
        right = head["kind"] == kind and isinstance(version, int)
    except (ValueError, TypeError, LookupError, RecursionError):
        right = False
    if not right:
        raise CorruptError(f"it is no {kind} that idemkey.client has written: {data[:60]!r}")
    if version > VERSION:
        raise VersionError(
            f"the {kind} has version {version} and this package reads up to {VERSION}: update it"
        )
    return head, body if head.get("body_kept") else None
