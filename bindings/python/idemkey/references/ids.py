"""Ids of entities: a prefix that tells the kind, and random characters."""

from __future__ import annotations

import re
import secrets
import string
from dataclasses import dataclass

from .errors import InvalidIdError

_HEX_DIGITS = "0123456789abcdef"
_LETTERS_AND_DIGITS = string.ascii_lowercase + string.digits
# So many random characters are 96 bits of hexadecimal digits, or 124 of letters and digits: no two
# are ever the same.
_LENGTH = 24


@dataclass(frozen=True)
class EntityId:
    """The ids of one kind of entity: makes and validates them.

    Args:
        prefix: what they all begin with.
        pattern: a regular expression of what comes after it, always matched in full.
        alphabet: the characters that new ids are made of.
        length: how many of them a new id has after its prefix.

    >>> payout_id = EntityId("payout_", "[a-f0-9]{16,24}", "0123456789abcdef", 24)
    >>> payout_id.matches("payout_1234567890abcdef"), payout_id.matches("payout_123")
    (True, False)
    >>> payout_id.matches(payout_id.new())
    True
    """

    prefix: str
    pattern: str
    alphabet: str
    length: int

    def __post_init__(self) -> None:
        if not self.matches(self.new()):
            raise ValueError(
                f"{self.length} characters of {self.alphabet!r} do not match {self.pattern!r}"
            )

    def new(self) -> str:
        """A fresh id that cannot be guessed."""
        return self.prefix + "".join(secrets.choice(self.alphabet) for _ in range(self.length))

    def matches(self, value: object) -> bool:
        """Whether ``value`` is such an id, in full."""
        if not isinstance(value, str) or not value.startswith(self.prefix):
            return False
        return re.fullmatch(self.pattern, value[len(self.prefix) :]) is not None

    def check(self, value: object) -> str:
        """``value``, if it is such an id.

        Raises:
            InvalidIdError: it is not.
        """
        if not (isinstance(value, str) and self.matches(value)):
            raise InvalidIdError(f"{value!r} is not an id like {self.prefix}{self.pattern}")
        return value


def hex_id(prefix: str) -> EntityId:
    """Ids of 16 to 24 hexadecimal digits."""
    return EntityId(prefix, "[a-f0-9]{16,24}", _HEX_DIGITS, _LENGTH)


def plain_id(prefix: str) -> EntityId:
    """Ids of letters and digits."""
    return EntityId(prefix, "[a-zA-Z0-9]{1,64}", _LETTERS_AND_DIGITS, _LENGTH)
