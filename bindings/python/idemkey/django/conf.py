"""The setting ``IDEMKEY``, and what it makes.

- ``STORE``, required: the region's path, or a dict of the arguments of `idemkey.Store`.
- ``PROFILE``, ``PRINCIPAL``, ``ROUTES``, ``CONFIG``, ``OBSERVER``, ``LOG_KEYS``: those of
  `idemkey.http.Engine`. A function as ``PRINCIPAL`` is given the request, so it may look at
  ``request.user``; it may be named by its dotted path.
- any field of a profile, in capitals: ``"TTL": 3600``.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from ..http import Engine
from ..store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTING = "IDEMKEY"
_NAMED = ("PRINCIPAL", "OBSERVER")  # that may be functions, by their dotted paths


@functools.lru_cache(maxsize=1)
def default_engine() -> Engine:
    """The engine of the settings, made at its first use: in a worker, after the server has forked.

    Raises ImproperlyConfigured, which tells the setting that is wrong.
    """
    return make_engine(getattr(settings, SETTING, None))


def make_engine(given: Mapping[str, Any] | None) -> Engine:
    """An engine by such a setting."""
    if not isinstance(given, dict) or "STORE" not in given:
        raise ImproperlyConfigured(
            f'{SETTING} must be a dict with "STORE", the path of the region that all workers share'
        )
    options = {
        name.lower(): import_string(value)
        if name in _NAMED and isinstance(value, str) and "." in value
        else value
        for name, value in given.items()
        if name != "STORE"
    }
    store = given["STORE"]
    try:
        opened = Store(**store) if isinstance(store, dict) else Store(store)
    except (TypeError, ValueError, OSError) as error:
        raise ImproperlyConfigured(f"{SETTING}: STORE is {store!r}: {error}") from error
    try:
        return Engine(opened, **options)
    except (TypeError, ValueError) as error:
        opened.close()
        raise ImproperlyConfigured(f"{SETTING}: {error}") from error


def _forget(*, setting: str, **_: Any) -> None:
    if setting == SETTING:
        default_engine.cache_clear()


setting_changed.connect(_forget)
