"""The engine: one configuration, bound to an open store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..errors import error
from ..handle import Handle
from ..low_level import NULL, ffi, lib, text
from . import config as configuration
from .config import UNSET
from .exchange import Exchange, spare
from .observing import Observing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Optional, Union

    from ..store import Store
    from .config import Config
    from .observing import Observer

    #: A header's name; or a function of the request (environ, scope, ...); or None.
    Principal = Union[str, Callable[[Any], Optional[Union[str, bytes]]], None]

_ERROR_BYTES: Final = 1024
_NO_ONE: Final = lib.IDEM_HTTP_NO_ONE
_TYPE: Final = ffi.typeof("struct idem__py_exchange *")

# Names of this module are found faster than attributes of another.
_begin = lib.idem__py_http_begin
_new = object.__new__
_spare = spare.pop


class Engine:
    """Decides what becomes of requests with an idempotency key; shared by threads, and by fork.

    Args:
        store: holds keys and responses. It must stay open; opened before or after a fork.
        profile: the API whose promises are kept: ``"ietf"`` (unless ``config`` says otherwise),
            ``"nextapi-v2"``, ``"entities"``, ``"nextapi-v1"``, ``"noticia"``, ``"nextsign"``,
            ``"stripe"``.
        principal: whose request it is, so that callers can't meet in one key and get each other's
            responses: a header's name (``"Authorization"``), a function of the request that
            returns text, bytes, or None (unknown: refused), or None: all callers are one. It
            must be given, here or in ``config``.
        routes: mappings with ``match``, a pattern such as ``"POST /v1/payouts/*"``, and what is
            different there; the first that matches holds.
        config: all of this as a mapping, or as the path of a TOML or JSON file. What is given
            beside it prevails.
        observer: called with an `Event` for each decision; what it raises is logged.
        log_keys: show keys as they are in events and logs, not their hashes.
        overrides: any field of a profile, for instance ``ttl=3600`` or ``wait=10``: docs/http.md
            has them all. `FOREVER` may be a ttl.

    Raises:
        ValueError: the configuration is wrong: which field, its value, the limit.
        TypeError: an argument is of no use here, or principal was not given.
        OSError: the file can't be read, or no memory.

    >>> engine = Engine(store, profile="ietf", principal=None, required=True)
    >>> exchange = engine.begin("POST", "/payouts", "", "")
    >>> exchange.reason.name, exchange.status
    ('NO_KEY', 400)
    """

    __slots__ = ("__weakref__", "_caller", "_counters", "_http", "_observing", "_store", "wanted")

    wanted: tuple[str, ...]
    """Names of the request headers that `begin` needs, in lower case; it may be given others."""

    def __init__(
        self,
        store: Store,
        *,
        profile: str | None = None,
        principal: Principal = UNSET,
        routes: Iterable[Mapping[str, Any]] = (),
        config: Config = None,
        observer: Observer | None = None,
        log_keys: bool = False,
        **overrides: Any,
    ) -> None:
        if not isinstance(store, Handle):
            raise TypeError(f"store must be an idemkey.Store, not {type(store).__name__}")
        self._store = store
        self._caller = principal if callable(principal) else None
        whole = configuration.merged(config, profile, principal, routes, overrides)
        told = configuration.as_text(whole)
        made, why = ffi.new("idem_http **"), ffi.new("char[]", _ERROR_BYTES)
        status = lib.idem_http_new(store._handle, told, len(told), made, why, _ERROR_BYTES)
        if status == lib.IDEM_EINVAL:
            raise ValueError(text(why))
        if status:
            raise error(status)
        self._observing = Observing(configuration.profiles(whole), observer, log_keys=log_keys)
        self._counters = self._observing.counters
        self._http = ffi.gc(made[0], lib.idem_http_delete)
        self.wanted = tuple(_names(lib.idem_http_wanted(self._http)))
        if lib.idem_http_wants_principal(self._http) and self._caller is None:
            raise ValueError(
                'principal is "@caller" and must be a function here, that is given the request and '
                "returns who sends it"
            )

    def begin(
        self,
        method: str,
        path: str,
        query: str,
        fields: str,
        principal: str | bytes | None = None,
    ) -> Exchange:
        """Begins with a request; the exchange's ``action`` is PASS, NEED_BODY or REJECT.

        Args:
            method: in capitals. It and the others are text that stands for bytes of Latin-1.
            path: as on the request line: still percent-encoded, without the query.
            query: as on the request line, without the "?".
            fields: its headers, at least those that are `wanted`: ``name: value`` CR LF each.
            principal: what `caller` says. Looked at only where a function tells it.
        """
        exchange: Exchange = _new(Exchange)
        try:
            mine, made = _spare()
        except IndexError:
            mine = ffi.new(_TYPE)
            made = mine.decision
        exchange._self = mine
        exchange._made = made
        exchange._engine = self
        exchange._app_status = 0
        request = (method + path + query + fields).encode("latin-1")
        who, length = (NULL, _NO_ONE) if principal is None else _principal(principal)
        exchange._decided(
            _begin(
                self._http,
                self._counters,
                mine,
                request,
                len(method),
                len(path),
                len(query),
                len(fields),
                who,
                length,
            )
        )
        return exchange

    def caller(self, request: Any) -> str | bytes | None:
        """Who sends the request, if the function that was given as ``principal`` is to tell."""
        return None if self._caller is None else self._caller(request)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """How often each `Reason` was seen, by profile and name, in this process."""
        return self._observing.counts()

    def __repr__(self) -> str:
        return f"<Engine {self._store!r}>"


def _principal(principal: str | bytes) -> tuple[bytes, int]:
    if isinstance(principal, str):
        principal = principal.encode("utf-8", "surrogatepass")
    elif not isinstance(principal, bytes):
        raise TypeError(
            f"principal's function must return text, bytes or None, not {type(principal).__name__}"
        )
    return principal, len(principal)


def _names(start: Any) -> list[str]:
    """The texts of a list that an empty one ends."""
    names = []
    while name := text(start):
        names.append(name)
        start += len(name) + 1
    return names
