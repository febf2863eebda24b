"""What an API says of its callers' ids: how they look, where they stand, and what is answered."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, quote, unquote

from .answers import Answer, described
from .errors import InvalidReferenceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .ids import EntityId

# Printable, and such that it can be sent: no control characters, no lone surrogates.
_ANY_REFERENCE = "[^\x00-\x1f\x7f\ud800-\udfff]{1,255}"
# One look-up may not occupy a worker for long, nor make a response without end.
_LOOKUP_IDS_MAX = 100
# Of a bad id an error shows so much, as it may be a megabyte.
_SHOWN_CHARS = 40


class Lookup(NamedTuple):
    """What a URL asks for: entities of a kind, by their callers' ids."""

    kind: str
    reference_ids: list[str]


@dataclasses.dataclass(frozen=True)
class Rules:
    """One API's rules for ids of the caller.

    Args:
        field: the id's name in bodies and queries.
        pattern: a regular expression of a valid one, always matched in full.
        label: the id's name in messages.
        code: the id's name in error codes, as in ``DUPLICATE_REFERENCE``.
        enveloped: whether errors are ``{"error": {"code": ...}}``, not ``{"code": ...}``.
        many: whether a query may have several, as ``field[]=``.
        ids: how the entities' own ids look, by kind.
        lookups: the path of each kind's look-up. One that ends in ``/`` is followed by the id,
            the others have it in their query.

    >>> rules = Rules("order_id", pattern="[0-9]{1,9}", lookups={"order": "/orders"})
    >>> rules.check("4711")
    '4711'
    >>> rules.looked_up("/orders", "order_id=4711")
    Lookup(kind='order', reference_ids=['4711'])
    """

    field: str
    pattern: str = _ANY_REFERENCE
    label: str = "Reference ID"
    code: str = "REFERENCE"
    enveloped: bool = True
    many: bool = False
    ids: Mapping[str, EntityId] = dataclasses.field(default_factory=dict)
    lookups: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        re.compile(self.pattern)  # a mistake in it shows here

    def check(self, reference_id: object) -> str:
        """``reference_id``, if it is valid.

        Raises:
            InvalidReferenceError: it is not.
        """
        if not isinstance(reference_id, str):
            raise self._invalid(f"must be a string, not {type(reference_id).__name__}")
        if re.fullmatch(self.pattern, reference_id) is None:
            shown = ascii(reference_id[:_SHOWN_CHARS])
            raise self._invalid(f"is {shown} and must match {self.pattern}")
        return reference_id

    def reference_ids(self, query: str | bytes) -> list[str]:
        """The ids that a URL's query has, in their order: ``field=``, or ``field[]=`` for many.

        Raises:
            InvalidReferenceError: one is invalid, there are too many, or the query is no UTF-8.

        >>> from idemkey.references import NEXTAPI_V1
        >>> NEXTAPI_V1.reference_ids("reference_id[]=ORDER-1&reference_id%5B%5D=ORDER-2&page=3")
        ['ORDER-1', 'ORDER-2']
        """
        try:
            text = query.decode() if isinstance(query, bytes) else query
            fields = parse_qsl(text, keep_blank_values=True, errors="strict")
        except UnicodeDecodeError as error:
            raise self._invalid("is not UTF-8") from error
        one = [value for name, value in fields if name == self.field]
        many = [value for name, value in fields if name == f"{self.field}[]" and self.many]
        if len(one) > 1 or (one and many):
            hint = f": write {self.field}[]= for several" if self.many else ""
            raise self._invalid(f"is in the query {len(one) + len(many)} times{hint}")
        if len(many) > _LOOKUP_IDS_MAX:
            raise self._invalid(f"is in the query {len(many)} times, at most {_LOOKUP_IDS_MAX}")
        return [self.check(value) for value in one or many]

    def looked_up(self, path: str, query: str | bytes = "") -> Lookup | None:
        """Which entities a URL asks for by their callers' ids; None if it is no such look-up.

        Args:
            path: as it was sent, not decoded.
            query: what follows the question mark.

        Raises:
            InvalidReferenceError: it is one, of an invalid id.

        >>> from idemkey.references import NEXTAPI_V2
        >>> NEXTAPI_V2.looked_up("/v2/payment-intents/by-external-id/order%2F7")
        Lookup(kind='payment_intent', reference_ids=['order/7'])
        """
        for kind, place in self.lookups.items():
            if place == path and not place.endswith("/"):
                found = self.reference_ids(query)
                return Lookup(kind, found) if found else None
            if place.endswith("/") and path.startswith(place):
                rest = path[len(place) :]
                if rest and "/" not in rest:
                    return Lookup(kind, [self._decoded(rest)])
        return None

    def lookup_url(self, kind: str, *reference_ids: str) -> str:
        """The path and query that ask for entities of a kind, for callers who reconcile.

        Raises:
            ValueError: there is no look-up of that kind, or it takes one id only.
            InvalidReferenceError: an id is invalid.

        >>> from idemkey.references import NEXTAPI_V1
        >>> NEXTAPI_V1.lookup_url("payout", "ORDER-1")
        '/v1/payouts?reference_id=ORDER-1'
        """
        place = self.lookups.get(kind)
        if place is None:
            raise ValueError(f"kind is {kind!r} and must be one of {sorted(self.lookups)}")
        several = len(reference_ids) > 1
        if not reference_ids or (several and (place.endswith("/") or not self.many)):
            raise ValueError(f"{len(reference_ids)} ids are looked up at {place}, which takes one")
        ids = [quote(self.check(each), safe="") for each in reference_ids]
        if place.endswith("/"):
            return place + ids[0]
        name = f"{self.field}[]" if several else self.field
        return f"{place}?" + "&".join(f"{name}={each}" for each in ids)

    def answer(self, error: Exception) -> Answer:
        """The response to what `References` has refused: see `REFUSALS`.

        >>> from idemkey.references import NEXTAPI_V1, DuplicateReferenceError
        >>> answer = NEXTAPI_V1.answer(DuplicateReferenceError("ORDER-1", "payout_123"))
        >>> answer.status, answer.body["error"]["code"], answer.body["error"]["existing_id"]
        (409, 'DUPLICATE_REFERENCE', 'payout_123')
        """
        status, told, headers = described(error, self.field, self.label, self.code)
        return Answer({"error": told} if self.enveloped else told, status, headers)

    def _decoded(self, segment: str) -> str:
        try:
            return self.check(unquote(segment, errors="strict"))
        except UnicodeDecodeError as error:
            raise self._invalid("is not UTF-8") from error

    def _invalid(self, why: str) -> InvalidReferenceError:
        return InvalidReferenceError(f"{self.field} {why}", self.field)
