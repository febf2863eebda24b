"""The open store: opening, closing, sending to another process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Union

from .arguments import integer
from .errors import error
from .low_level import NULL, ffi, lib

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

StorePath = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]

#: The region's limit at creation unless told otherwise, as in C.
DEFAULT_MAX_BYTES = 256 << 20

_UINT32_MAX = 2**32 - 1


class Handle:
    """An open region; `Store` describes it."""

    __slots__ = ("__weakref__", "_handle", "_options", "closed", "path")

    path: str | bytes | None
    """The region's absolute path, or None."""
    closed: bool
    """Whether `close` was called."""
    _handle: Any
    _options: dict[str, Any]

    def __init__(
        self,
        path: StorePath | None,
        max_bytes: int = DEFAULT_MAX_BYTES,
        *,
        max_value_bytes: int = 0,
        mode: int = 0o600,
        group: int | None = None,
        create: bool = True,
        exclusive: bool = False,
        readonly: bool = False,
    ) -> None:
        self.closed = True  # until it is open: __del__ comes after a refusal, too
        self.path = None if path is None else _absolute(os.fspath(path))
        self._options = {
            "max_bytes": integer("max_bytes", max_bytes),
            "max_value_bytes": integer("max_value_bytes", max_value_bytes, _UINT32_MAX),
            "mode": integer("mode", mode, _UINT32_MAX),
            "group": None if group is None else integer("group", group),
            "create": create,
            "readonly": readonly,
        }
        options = ffi.new("struct idem_options *")
        lib.idem_options_init(options, ffi.sizeof("struct idem_options"))
        options.max_bytes = max_bytes
        options.max_value_bytes = max_value_bytes
        options.mode = mode
        options.group = -1 if group is None else group
        options.flags = (
            (0 if create else lib.IDEM_OPEN_EXISTING)
            | (lib.IDEM_OPEN_EXCLUSIVE if exclusive else 0)
            | (lib.IDEM_OPEN_READONLY if readonly else 0)
            | (lib.IDEM_OPEN_ANONYMOUS if path is None else 0)
        )
        store = ffi.new("idem_store **")
        name = NULL if self.path is None else os.fsencode(self.path)
        status = lib.idem_open(name, options, store)
        if status:
            raise error(status)
        self._handle = store[0]
        self.closed = False

    def close(self) -> None:
        """Leaves the region, after the calls of other threads; closing twice does nothing.

        Claims that are still open stay busy until this process ends. Every later call on the
        store raises ValueError.
        """
        if not self.closed:
            self.closed = True
            status = lib.idem_close(self._handle)
            if status:
                raise error(status)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not self.closed:
            lib.idem_close(self._handle)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.path is None:
            raise TypeError("a store without a path does not pickle: it is shared by fork only")
        if self.closed:
            raise ValueError("a closed store does not pickle")
        return _reopen, (type(self), self.path, self._options)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<{type(self).__name__} {self.path!r} {state}>"


def _reopen(cls: type[Handle], path: str | bytes, options: dict[str, Any]) -> Handle:
    """The store in the process that unpickles it."""
    return cls(path, **options)


def _absolute(path: str | bytes) -> str | bytes:
    """The path, such that the store pickles to a process in another working directory."""
    if not path:
        raise ValueError("path is empty: name a file, or give None for a region without a name")
    if b"\0" in os.fsencode(path):
        raise ValueError(f"path {path!r} has a null byte")
    return os.path.abspath(path)
