"""Key functions: which deliveries are of one event.

A key function gets the handler's arguments. Those made here read the first one, the payload as
JSON gave it, or the second one, the headers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .errors import EmptyKeyError

if TYPE_CHECKING:
    from collections.abc import Callable


def fields_key(*paths: str) -> Callable[..., str]:
    """Makes a key function of a payload's fields; a path like ``"data.order.id"`` goes inside.

    The key is the JSON array of the fields' values, so that no two lists of values give the same.

    Raises:
        TypeError, ValueError: a path is no text, or is empty.

    The key function raises EmptyKeyError where a field is missing, null or empty: the events
    that lack it would be taken for one.

    >>> fields_key("type", "data.id")({"type": "paid", "data": {"id": 7}})
    '["paid",7]'
    """
    if not paths:
        raise ValueError("fields_key needs at least one path, for instance fields_key('id')")
    names = [_names(path) for path in paths]

    def key(payload: object, *_: object, **__: object) -> str:
        values = [_field(payload, path) for path in names]
        return json.dumps(values, separators=(",", ":"), sort_keys=True)

    return key


def event_id_key(path: str) -> Callable[..., str]:
    """Makes a key function of the provider's event id in the payload, a text or an integer.

    Raises:
        TypeError, ValueError: the path is no text, or is empty.

    The key function raises EmptyKeyError if the field is missing or empty, and TypeError if it is
    something else.

    >>> event_id_key("id")({"id": "evt_9012345678abcdef", "type": "payout.completed"})
    'evt_9012345678abcdef'
    """
    names = _names(path)

    def key(payload: object, *_: object, **__: object) -> str:
        value = _field(payload, names)
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise TypeError(
                f"the event id in {path!r} must be text or an integer, not {type(value).__name__}"
            )
        return str(value)

    return key


def header_key(name: str) -> Callable[..., str]:
    """Makes a key function of the provider's event id in a header, in any case of letters.

    The handler must take the headers, a mapping, as its second argument or as ``headers=``.

    Raises:
        TypeError, ValueError: the name is no text, or is empty.

    The key function raises EmptyKeyError if the header is missing or empty, and ValueError if it
    is there with different values.

    >>> header_key("Webhook-Id")({"type": "paid"}, {"webhook-id": "msg_1"})
    'msg_1'
    """
    wanted = _text("name", name).lower()

    def key(_payload: object, headers: Mapping[str, str], *_: object, **__: object) -> str:
        if not hasattr(headers, "items"):
            raise TypeError(f"headers must be a mapping, not {type(headers).__name__}")
        values = {value for header, value in headers.items() if header.lower() == wanted and value}
        if not values:
            raise EmptyKeyError(f"the delivery has no header {name}, which its key is made of")
        if len(values) > 1:
            raise ValueError(f"the delivery has {len(values)} different headers {name}")
        return str(values.pop())

    return key


def _text(argument: str, value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be a str, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{argument} is empty")
    return value


def _names(path: str) -> list[str]:
    names = _text("path", path).split(".")
    if "" in names:
        raise ValueError(f"path {path!r} has an empty name: write it like 'data.id'")
    return names


def _field(payload: object, names: list[str]) -> object:
    value = payload
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    if value is None or value == "":
        raise EmptyKeyError(f"the delivery has no {'.'.join(names)}, which its key is made of")
    return value
