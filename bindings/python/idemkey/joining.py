"""One store key of several parts, such that no two lists of parts give the same key."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from .arguments import as_bytes
from .low_level import lib

if TYPE_CHECKING:
    from .arguments import Bytes

# A joined key begins with the digits of a length, so no joined key is also a hashed one.
_HASHED = b"blake2b:"


def joined_key(*parts: Bytes | str) -> bytes:
    """The parts, each with its length in front; hashed if that is longer than a key may be.

    Text counts as UTF-8; a lone surrogate, which JSON can bring, as the three bytes of its number.

    >>> joined_key("webhook", "billing", "evt_1")
    b'7:webhook,7:billing,5:evt_1,'
    """
    items = [
        part.encode("utf-8", "surrogatepass")
        if isinstance(part, str)
        else as_bytes("a part", part, "bytes or str")
        for part in parts
    ]
    joined = b"".join(b"%d:%b," % (len(item), item) for item in items)
    if len(joined) <= lib.IDEM_KEY_MAX:
        return joined
    return _HASHED + hashlib.blake2b(joined, digest_size=32).hexdigest().encode()
