"""Consumers of webhooks, which providers deliver at least once: each event is handled once.

>>> from idemkey import webhooks
>>> @webhooks.consumer(store, key=webhooks.event_id_key("id"), name="orders")
... def handle(event):
...     print("handles", event["id"])
>>> handle({"id": "evt_1"})
handles evt_1
>>> handle({"id": "evt_1"})  # the same delivery again
"""

from .consumer import DEFAULT_RETRY_AFTER, DEFAULT_TTL, attempt, consumer
from .errors import EmptyKeyError, HeldDeliveryError, MissingIdWarning, RetryLaterError
from .keys import event_id_key, fields_key, header_key
from .nextsign import nextsign_key

__all__ = [
    "DEFAULT_RETRY_AFTER",
    "DEFAULT_TTL",
    "EmptyKeyError",
    "HeldDeliveryError",
    "MissingIdWarning",
    "RetryLaterError",
    "attempt",
    "consumer",
    "event_id_key",
    "fields_key",
    "header_key",
    "nextsign_key",
]
