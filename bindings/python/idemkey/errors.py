"""One exception for each status of the C enum ``idem_status``, and the way from one to the other.

``IDEM_EINVAL`` becomes `ValueError` and ``IDEM_ESYS`` an `OSError` with its errno; every other
status has a class below `Error` here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .low_level import ffi, lib, text

if TYPE_CHECKING:
    from .claim import Claim


class Error(Exception):
    """What a store refuses or fails to do. ``status`` is the C code, 0 where C has none."""

    status: ClassVar[int] = 0


class FullError(Error):
    """No room for a new claim; nothing was evicted. Raise ``max_bytes`` with `Store.resize`."""

    status = lib.IDEM_EFULL


class LostClaimError(Error):
    """The claim is no longer this caller's, or never was; nothing was changed."""

    status = lib.IDEM_ELOST


class NotFoundError(Error, LookupError):
    """There is no such key, or not in the state that the call needs."""

    status = lib.IDEM_ENOTFOUND


class TooBigError(Error):
    """The value is above the store's largest (``stats()["value_max"]``); nothing was changed."""

    status = lib.IDEM_ETOOBIG


class WaitTimeoutError(Error, TimeoutError):
    """The key was still being run when the time was over."""

    status = lib.IDEM_ETIMEDOUT


class VersionError(Error):
    """The file was made by an incompatible build."""

    status = lib.IDEM_EVERSION


class CorruptError(Error):
    """The file is damaged, or is no idemkey region."""

    status = lib.IDEM_ECORRUPT


class ReplacedError(Error):
    """The file was unlinked or replaced under the open store: other workers may use another."""

    status = lib.IDEM_EREPLACED


class SlotsError(Error):
    """Too many processes or threads use the region at once."""

    status = lib.IDEM_ESLOTS


class OutcomeError(Error):
    """`Store.run` and `Store.once`: the operation was not run, and there is nothing to replay.

    ``claim`` is the store's answer; it is None where another call raises a class of these.
    """

    def __init__(self, message: str, claim: Claim | None = None) -> None:
        super().__init__(message)
        self.claim = claim

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles without the claim, which belongs to this process."""
        return type(self), self.args


class BusyError(OutcomeError):
    """A living process is running the key's operation."""

    status = lib.IDEM_EBUSY


class MismatchError(OutcomeError):
    """The key belongs to a request with another fingerprint."""


class HeldError(OutcomeError):
    """The owner died or left, and the key waits for `Store.resolve`."""


class NotKeptError(OutcomeError):
    """The operation has been run, but its value was not kept: it was too big, or the store full."""


BY_STATUS: dict[int, type[Error]] = {
    cls.status: cls
    for cls in (
        FullError,
        LostClaimError,
        NotFoundError,
        TooBigError,
        WaitTimeoutError,
        VersionError,
        CorruptError,
        ReplacedError,
        SlotsError,
        BusyError,
    )
}


def error(status: int) -> Exception:
    """The exception for a failing status; call it at once, in the thread that failed."""
    errno: int = ffi.errno
    message = text(lib.idem_last_error()) or text(lib.idem_strerror(status))
    if status == lib.IDEM_ESYS:
        return OSError(errno, message)
    if status == lib.IDEM_EINVAL:
        return ValueError(message)
    return BY_STATUS[status](message)
