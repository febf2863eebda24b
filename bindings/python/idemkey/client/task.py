"""What the rules are given: how the caller is set up, and one operation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from idemkey import Store

    from .intents import Intent
    from .messages import Request, ReturnedId
    from .policy import Retry
    from .transport import ClientFacts


@dataclass(frozen=True)
class Rules:
    """How a caller is set up: `Caller` describes it."""

    store: Store
    client: ClientFacts
    reconciles: bool
    retry: Retry
    timeout: float
    ttl: float
    server_retention: float
    crash_grace: float
    secret_headers: frozenset[str]
    clock: Callable[[], float]


@dataclass(frozen=True)
class Task:
    """One operation that is to be brought to its end."""

    name: bytes
    """The store's key."""
    fingerprint: bytes | None
    """Of the request, or as the record has it."""
    intent: Intent
    request: Request
    """With the key's header and the secrets."""
    returned_id: ReturnedId | None
    wait: float = 0.0
    recovering: bool = False
    """Whether only an orphan is to be ended, and nothing begun."""
