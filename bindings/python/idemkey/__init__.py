"""Idempotency keys in shared memory: every operation once, whatever dies.

>>> store = Store(None)  # for several processes: Store("/dev/shm/payouts.idem")
>>> with store.claim("payout:7") as claim:
...     if claim.won:
...         claim.complete(b"paid")
>>> store.claim("payout:7").value
b'paid'
"""

from .arguments import DEFAULT_TTL, FOREVER, ClaimOptions
from .claim import Claim, Outcome
from .errors import (
    BusyError,
    CorruptError,
    Error,
    FullError,
    HeldError,
    LostClaimError,
    MismatchError,
    NotFoundError,
    NotKeptError,
    OutcomeError,
    ReplacedError,
    SlotsError,
    TooBigError,
    VersionError,
    WaitTimeoutError,
)
from .fingerprints import fingerprint
from .low_level import lib, text
from .record import Record, State
from .store import Store

__all__ = [
    "DEFAULT_TTL",
    "FOREVER",
    "BusyError",
    "Claim",
    "ClaimOptions",
    "CorruptError",
    "Error",
    "FullError",
    "HeldError",
    "LostClaimError",
    "MismatchError",
    "NotFoundError",
    "NotKeptError",
    "Outcome",
    "OutcomeError",
    "Record",
    "ReplacedError",
    "SlotsError",
    "State",
    "Store",
    "TooBigError",
    "VersionError",
    "WaitTimeoutError",
    "__version__",
    "fingerprint",
]

__version__ = text(lib.idem_version())
