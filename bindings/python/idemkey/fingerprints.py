"""Which request used a key, in 16 bytes."""

from __future__ import annotations

from .arguments import Bytes, as_bytes
from .errors import error
from .low_level import NULL, ffi, lib


def fingerprint(*parts: Bytes | str, secret: bytes = b"") -> bytes:
    """16 bytes that are the same for the same parts: a keyed XXH3-128.

    Args:
        parts: bytes or text (UTF-8). Each counts with its length: ``("ab", "c")`` differs from
            ``("a", "bc")``.
        secret: all processes of a store must use the same. With one, who does not know it cannot
            look for collisions easily; it is no signature.

    >>> fingerprint("POST", "/payouts", b"{}").hex() == fingerprint("POST/payouts{}").hex()
    False
    """
    items = [
        part.encode() if isinstance(part, str) else as_bytes("a part", part, "bytes or str")
        for part in parts
    ]
    key = as_bytes("secret", secret)
    out = ffi.new("uint8_t[]", lib.IDEM_FINGERPRINT_SIZE)
    status = lib.idem__py_fingerprint(
        key or NULL, len(key), len(items), b"".join(items), [len(item) for item in items], out
    )
    if status:
        raise error(status)
    return bytes(out)
