"""Running a function once: what `Store.run` and `Store.once` do around a claim."""

from __future__ import annotations

import functools
import inspect
import json
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .claim import Claim, Outcome
from .errors import BusyError, CorruptError, HeldError, MismatchError, NotKeptError, OutcomeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import ParamSpec

    from .arguments import Bytes, ClaimOptions, Key
    from .store import Store

    P = ParamSpec("P")

R = TypeVar("R")

_REFUSALS: dict[Outcome, tuple[type[OutcomeError], str]] = {
    Outcome.BUSY: (BusyError, "is being run by a living process"),
    Outcome.MISMATCH: (MismatchError, "belongs to a request with another fingerprint"),
    Outcome.HELD: (HeldError, "was left by its owner and waits for Store.resolve"),
}


def replay(claim: Claim) -> bytes:
    """The value of a claim that was not won, or the exception that says why there is none."""
    if claim.outcome is Outcome.DONE:
        value = claim.value
        if value is None:
            raise NotKeptError(f"key {claim.key!r} is done, but its value was not kept", claim)
        return value
    kind, why = _REFUSALS[claim.outcome]
    raise kind(f"key {claim.key!r} {why}", claim)


def run(store: Store, key: Key, fn: Callable[[], Bytes], options: ClaimOptions) -> bytes:
    """`Store.run`."""
    with store.claim(key, **options) as claim:
        if claim.won:
            value = fn()
            claim.complete(value, allow_not_kept=True)
            return bytes(value)
    return replay(claim)


def once(
    store: Store,
    key: Callable[P, Key],
    fingerprint: Callable[P, bytes] | None,
    options: ClaimOptions,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """`Store.once`."""
    for name, function in (("key", key), ("fingerprint", fingerprint)):
        if function is not None and not callable(function):
            raise TypeError(
                f"{name} must be a function of the same arguments, for instance "
                f"lambda order: f'order:{{order}}', not {type(function).__name__}"
            )

    def request(*args: P.args, **kwargs: P.kwargs) -> tuple[Key, ClaimOptions]:
        if fingerprint is None:
            return key(*args, **kwargs), options
        return key(*args, **kwargs), {**options, "fingerprint": fingerprint(*args, **kwargs)}

    def decorate(fn: Callable[P, R]) -> Callable[P, R]:
        if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
            raise TypeError("once is for functions that return a value, not for generators")
        if inspect.iscoroutinefunction(fn):

            @functools.wraps(fn)
            async def arun(*args: P.args, **kwargs: P.kwargs) -> Any:
                name, claiming = request(*args, **kwargs)
                with await store.aclaim(name, **claiming) as claim:
                    if claim.won:
                        return _finish(claim, await fn(*args, **kwargs))
                return _replayed(claim)

            return cast("Callable[P, R]", arun)

        @functools.wraps(fn)
        def run_once(*args: P.args, **kwargs: P.kwargs) -> R:
            name, claiming = request(*args, **kwargs)
            with store.claim(name, **claiming) as claim:
                if claim.won:
                    return cast(R, _finish(claim, fn(*args, **kwargs)))
            return cast(R, _replayed(claim))

        return run_once

    return decorate


def _replayed(claim: Claim) -> Any:
    """The result that an earlier call has kept."""
    value = replay(claim)
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise CorruptError(
            f"key {claim.key!r} keeps a value that is no JSON: it was not completed by `once`"
        ) from error


def _finish(claim: Claim, result: object) -> Any:
    """Completes with the result as JSON, and gives the first caller what later ones will get."""
    try:
        value = json.dumps(result, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError):
        claim.abandon()  # not released: the operation has happened
        raise
    claim.complete(value, allow_not_kept=True)
    return json.loads(value)
