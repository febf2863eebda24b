"""The configuration: from Python's arguments and files to the JSON text that C reads and checks."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Union

from ..arguments import FOREVER

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: A mapping, or the path of a TOML or JSON file.
Config = Union[Mapping[str, Any], str, "os.PathLike[str]", None]


class _Unset:
    def __repr__(self) -> str:
        return "..."


#: A principal that was not given: there is no default for who shares whose responses.
UNSET: Final[Any] = _Unset()

#: The principal of a profile whose requests' senders the binding tells.
_BY_CALLER = "@caller"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; the last of two members with one name would win unseen."""
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{max(names, key=names.count)!r} is given twice")
    return members


_FORMS = {".toml": tomllib.loads, ".json": partial(json.loads, object_pairs_hook=_unique)}


#: Taken where none is named; as in C.
_PROFILE: Final = "ietf"


def merged(
    config: Config,
    profile: str | None,
    principal: Any,
    routes: Iterable[Mapping[str, Any]],
    overrides: Mapping[str, Any],
) -> dict[str, Any]:
    """One configuration: ``config``, and over it what else was given.

    Raises:
        TypeError: principal was not given, or config is of no use.
        ValueError, OSError: config's file can't be read.
    """
    whole = dict(_read(config))
    whole.update(overrides)
    if profile is not None:
        whole["profile"] = profile
    if principal is not UNSET:
        whole["principal"] = _BY_CALLER if callable(principal) else principal
    if "principal" not in whole:
        raise TypeError(
            "principal is missing: name the request header that says who sends a request "
            '("Authorization"), or give a function of the request, or None where all callers are '
            "one: callers of one principal get each other's responses"
        )
    if isinstance(routes, (Mapping, str)) or not isinstance(routes, Iterable):
        raise TypeError(
            f'routes must be a list of mappings with "match", not {type(routes).__name__}'
        )
    whole["routes"] = list(routes) or whole.get("routes", [])
    return whole


def as_text(whole: Mapping[str, Any]) -> bytes:
    """A configuration as C reads it.

    Raises:
        TypeError, ValueError: it has a value that JSON has no word for.
    """
    try:
        return json.dumps(_plain(whole), default=_refuse, allow_nan=False).encode()
    except ValueError as error:
        raise ValueError(f"the configuration has a number that is none: {error}") from None


def profiles(whole: Mapping[str, Any]) -> list[str]:
    """The profiles that a configuration, which C has accepted, names."""
    base = whole.get("profile", _PROFILE)
    return sorted({base, *(route.get("profile", base) for route in whole["routes"])})


def _read(config: Config) -> Mapping[str, Any]:
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return config
    try:
        path = Path(config)
    except TypeError:
        raise TypeError(
            f"config must be a mapping or the path of a file, not {type(config).__name__}"
        ) from None
    if path.suffix not in _FORMS:
        raise ValueError(f"config is {str(path)!r} and must end in one of {', '.join(_FORMS)}")
    try:
        found = _FORMS[path.suffix](path.read_text(encoding="utf-8"))
    except ValueError as error:  # of either form, and of UTF-8
        raise ValueError(f"config {str(path)!r} can't be read: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"config {str(path)!r} must hold an object, not {type(found).__name__}")
    return found


def _plain(value: Any) -> Any:
    """The value with what JSON has no word for put into one that C understands."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return "forever" if isinstance(value, float) and value == FOREVER else value


def _refuse(value: object) -> Any:
    raise TypeError(
        f"the configuration has {value!r}, a {type(value).__name__}: it takes what JSON has (text, "
        "numbers, true, false, null, lists and objects); a function is allowed as the principal of "
        "all routes only"
    )
