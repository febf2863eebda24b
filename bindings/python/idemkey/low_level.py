"""The C library as it is: ``lib`` and ``ffi`` of cffi, and what every module needs of them.

Every function of ``idemkey.h`` is here under its C name, for instance ``lib.idem_stats``; times are
milliseconds and a status is returned. The friendly classes stand in the other modules.
"""

from __future__ import annotations

from typing import Any

from ._core import ffi, lib

__all__ = ["NULL", "OWNED", "ffi", "lib", "new_reply", "struct_fields", "text"]

NULL: Any = ffi.NULL

#: Set in a result whose reply owns memory: see ``glue_decl.h``.
OWNED: int = lib.IDEM__PY_OWNED

_REPLY = ffi.typeof("struct idem__py_reply *")


def new_reply(_new: Any = ffi.new, _type: Any = _REPLY) -> Any:
    """An empty ``struct idem__py_reply *``, freed with its last reference."""
    return _new(_type)


def text(chars: Any) -> str:
    """A ``const char *`` of the library as a string."""
    return str(ffi.string(chars).decode("utf-8", "replace"))


def struct_fields(struct: Any, *, leave_out: tuple[str, ...]) -> dict[str, int]:
    """The numbers of a C struct by their names, so that a field added in C shows up in Python."""
    names = (name for name, _ in ffi.typeof(struct).item.fields)
    return {name: getattr(struct, name) for name in names if name not in leave_out}
