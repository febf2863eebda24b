"""What a consumer raises instead of handling a delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import BusyError, HeldError

if TYPE_CHECKING:
    from ..claim import Claim


class EmptyKeyError(ValueError):
    """A delivery has nothing to make a key of, so that it can't be told from others."""


class MissingIdWarning(UserWarning):
    """A delivery names no entity: all events of its trigger are taken for one."""


class RetryLaterError(BusyError):
    """Another delivery of the event is being handled; if that fails, a later one must do it.

    ``retry_after`` is in seconds: put the delivery back in the queue for so long, or answer
    503 with ``Retry-After``.
    """

    def __init__(self, message: str, retry_after: float, claim: Claim | None = None) -> None:
        super().__init__(message, claim)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles without the claim, which belongs to this process."""
        return type(self), (*self.args, self.retry_after)


class HeldDeliveryError(HeldError):
    """A handler died or left at this event, and a person must find out what it did.

    ``key``, ``claim_id``, ``attempt`` and ``intent`` say what is held. `Store.resolve` ends it:
    with ``b""`` if the event has been handled, with None if it must be handled again.
    """

    def __init__(
        self,
        message: str,
        key: bytes,
        claim_id: str,
        attempt: int,
        intent: bytes,
        claim: Claim | None = None,
    ) -> None:
        super().__init__(message, claim)
        self.key = key
        self.claim_id = claim_id
        self.attempt = attempt
        self.intent = intent

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles without the claim, which belongs to this process."""
        return type(self), (*self.args, self.key, self.claim_id, self.attempt, self.intent)
