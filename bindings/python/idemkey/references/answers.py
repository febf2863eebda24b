"""What a caller is told whose reference is refused."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import BusyError, HeldError
from .errors import DuplicateReferenceError, InvalidReferenceError

_BAD_REQUEST = 400
_CONFLICT = 409
_RETRY_SOON = {"Retry-After": "1"}


class Answer(NamedTuple):
    """An error's response, in the order that Flask takes from a view: the JSON body comes first."""

    body: dict[str, object]
    status: int
    headers: dict[str, str]


def described(
    error: Exception, field: str, label: str, code: str
) -> tuple[int, dict[str, object], dict[str, str]]:
    """An error's status, its object in the JSON body, and headers; the rest is as in `Rules`.

    Raises:
        TypeError: it is none of `REFUSALS`.
    """
    if isinstance(error, DuplicateReferenceError):
        told: dict[str, object] = {
            "code": f"DUPLICATE_{code}",
            "message": f"{label} already exists",
            "existing_id": error.existing_id,
            field: error.reference_id,
        }
        return _CONFLICT, told, {}
    if isinstance(error, InvalidReferenceError):
        return _BAD_REQUEST, {"code": f"INVALID_{code}", "message": str(error)}, {}
    if isinstance(error, BusyError):
        message = f"{label} belongs to a request that is still running"
        return _CONFLICT, {"code": f"{code}_IN_PROGRESS", "message": message}, _RETRY_SOON.copy()
    if isinstance(error, HeldError):
        message = f"{label} belongs to a request whose outcome is not known yet"
        return _CONFLICT, {"code": f"{code}_OUTCOME_UNKNOWN", "message": message}, {}
    raise TypeError(f"there is no answer for {type(error).__name__}") from error
