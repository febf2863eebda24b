"""What is refused to a caller who brings an id."""

from __future__ import annotations

from typing import Any

from ..errors import BusyError, Error, HeldError


class InvalidReferenceError(ValueError):
    """A reference is not as the rules want it; ``field`` is its name in requests."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles with the field."""
        return type(self), (*self.args, self.field)


class InvalidIdError(ValueError):
    """An entity's id is not of its kind."""


class DuplicateReferenceError(Error):
    """The reference belongs to an entity already: ``existing_id``."""

    def __init__(self, reference_id: str, existing_id: str) -> None:
        super().__init__(reference_id, existing_id)
        self.reference_id = reference_id
        self.existing_id = existing_id

    def __str__(self) -> str:
        return f"reference {self.reference_id!r} belongs to {self.existing_id}"


#: All that `Rules.answer` has an answer for.
REFUSALS = (InvalidReferenceError, DuplicateReferenceError, BusyError, HeldError)
