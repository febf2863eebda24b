"""The key that NextSign's documentation gives for its webhooks, as its JavaScript computes it.

An event of a case or a flow has no id, so the key is made of its trigger, the entity's ``_id``
and when the entity was updated; what JavaScript calls falsy is left out, and the rest is joined
as ``Array.prototype.join`` does it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

from .errors import EmptyKeyError, MissingIdWarning

_SEPARATOR = ":"
# Number::toString of ECMAScript writes decimal exponents from here on, and below.
_EXPONENT_HIGH = 21
_EXPONENT_LOW = -6


def nextsign_key(payload: Mapping[str, object], *_: object, **__: object) -> str:
    """The deduplication key of a NextSign webhook's payload: ``trigger:_id:updatedAt``.

    Raises:
        TypeError: the payload is no mapping.
        EmptyKeyError: nothing is left to make a key of.

    Warns:
        MissingIdWarning: the entity has no ``_id``: all events of the trigger, or all at the same
            time, get one key.

    >>> nextsign_key({"trigger": "signed", "case": {"_id": "65f", "updatedAt": "2024-05-01"}})
    'signed:65f:2024-05-01'
    """
    if not isinstance(payload, Mapping):
        raise TypeError(f"payload must be a mapping, not {type(payload).__name__}")
    case = payload.get("case")
    entity = case if _truthy(case) else payload.get("flow")
    fields = entity if isinstance(entity, Mapping) else {}
    parts = (payload.get("trigger"), fields.get("_id"), fields.get("updatedAt"))
    key = _SEPARATOR.join(_string(part) for part in parts if _truthy(part))
    if not key:
        raise EmptyKeyError("the payload has no trigger, and no case or flow with _id or updatedAt")
    if not _truthy(fields.get("_id")):
        warnings.warn(
            f"the payload has no _id: all events with the key {key!r} are taken for one",
            MissingIdWarning,
            stacklevel=2,
        )
    return key


def _truthy(value: object) -> bool:
    """JavaScript's ``Boolean(value)``: empty lists and mappings count as something."""
    if isinstance(value, float) and math.isnan(value):
        return False
    return isinstance(value, (Mapping, list, tuple)) or bool(value)


def _string(value: object) -> str:
    """JavaScript's ``String(value)`` of what JSON can bring."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, (list, tuple)):
        return ",".join("" if item is None else _string(item) for item in value)
    if isinstance(value, Mapping) and "toString" not in value:
        return "[object Object]"
    raise TypeError(f"a part of the key is {type(value).__name__} that JavaScript can't join")


def _number(value: float) -> str:
    """ECMAScript's Number::toString; all numbers of JavaScript are doubles."""
    try:
        double = float(value)
    except OverflowError:
        double = math.inf if value > 0 else -math.inf
    if math.isnan(double):
        return "NaN"
    if math.isinf(double):
        return "Infinity" if double > 0 else "-Infinity"
    sign = "-" if double < 0 else ""
    # repr() finds the shortest digits that give the double back, as ECMAScript asks for.
    mantissa, _, exponent = f"{abs(double)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(digits) - len(fraction) + int(exponent or 0)  # digits before the decimal point
    digits = digits.rstrip("0")
    return sign + _decimal(digits or "0", point if digits else 1)


def _decimal(digits: str, point: int) -> str:
    """The number 0.DIGITS times ten to the ``point``, in ECMAScript's notation."""
    if _EXPONENT_LOW < point <= 0:
        return "0." + "0" * -point + digits
    if 0 < point <= _EXPONENT_HIGH:
        whole = digits[:point].ljust(point, "0")
        return f"{whole}.{digits[point:]}" if len(digits) > point else whole
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{point - 1:+d}"
