"""Why an operation has not ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from idemkey import Error

if TYPE_CHECKING:
    from .intents import Intent
    from .messages import Answer


class UnfinishedError(Error):
    """The operation has not ended; ``key`` and ``intent`` tell which."""

    def __init__(self, message: str, intent: Intent) -> None:
        super().__init__(message)
        self.intent = intent

    @property
    def key(self) -> str:
        """The idempotency key: calling again with it continues the operation."""
        return self.intent.key

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.intent)


class UnknownOutcomeError(UnfinishedError):
    """The operation may have happened, or not, and nothing is sent before that is known.

    The intent stays in the store: the next call with the key, and `recover`, ask ``reconcile``;
    `resolve` ends it by hand.
    """


class RetriesExhaustedError(UnfinishedError):
    """No answer that decides, though it was tried as often and as long as allowed.

    Calling again with the same key is safe. If ``may_have_run`` is false, nothing has happened,
    and the key is free again; else the intent stays in the store and `recover` goes on with it.
    ``answer`` is the last one, None if the connection failed (then see ``__cause__``).
    """

    def __init__(
        self, message: str, intent: Intent, may_have_run: bool, answer: Answer | None = None
    ) -> None:
        super().__init__(message, intent)
        self.may_have_run = may_have_run
        self.answer = answer

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.intent, self.may_have_run, self.answer)
