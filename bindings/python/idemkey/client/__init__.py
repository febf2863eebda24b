"""The caller's side of idempotency: each request of an operation with one key, once answered.

`Caller` (for `httpx.Client` and `requests.Session`) and `AsyncCaller` (for `httpx.AsyncClient`)
write key and intent into the store before they send, repeat what is safe to repeat, and find out
what became of the rest; see docs/client.md.
"""

from .caller import AsyncCaller, Caller
from .errors import RetriesExhaustedError, UnfinishedError, UnknownOutcomeError
from .intents import Done, Intent, Reconciled, Verdict
from .messages import Answer, Request
from .policy import Retry, retry_after_seconds
from .settings import Recovered, RequestOptions
from .transport import AsyncTransport, LostReplyError, NotSentError, Transport

__all__ = [
    "Answer",
    "AsyncCaller",
    "AsyncTransport",
    "Caller",
    "Done",
    "Intent",
    "LostReplyError",
    "NotSentError",
    "Reconciled",
    "Recovered",
    "Request",
    "RequestOptions",
    "RetriesExhaustedError",
    "Retry",
    "Transport",
    "UnfinishedError",
    "UnknownOutcomeError",
    "Verdict",
    "retry_after_seconds",
]
