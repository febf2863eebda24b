"""Ids of the caller: one entity for each reference that a caller gives, for the entity's life.

>>> from idemkey.references import NEXTAPI_V1, References
>>> payouts = References(store, namespace="payout", rules=NEXTAPI_V1)
>>> def create(attempt):
...     return "payout_1234567890abcdef"  # what the database has made
>>> payouts.create_or_get("ORDER-2024-001", create, scope="acc_1")
Reference(id='payout_1234567890abcdef', created=True)
>>> payouts.create_or_get("ORDER-2024-001", create, scope="acc_1")
Reference(id='payout_1234567890abcdef', created=False)
"""

from .answers import Answer
from .errors import REFUSALS, DuplicateReferenceError, InvalidIdError, InvalidReferenceError
from .ids import EntityId
from .keeper import Attempt, Reference, References
from .rules import Lookup, Rules
from .seeds import NEXTAPI_V1, NEXTAPI_V2, NOTICIA

__all__ = [
    "NEXTAPI_V1",
    "NEXTAPI_V2",
    "NOTICIA",
    "REFUSALS",
    "Answer",
    "Attempt",
    "DuplicateReferenceError",
    "EntityId",
    "InvalidIdError",
    "InvalidReferenceError",
    "Lookup",
    "Reference",
    "References",
    "Rules",
]
