"""The decorator that makes a function handle each event once."""

from __future__ import annotations

import contextvars
import functools
import inspect
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from ..arguments import NO_TIME, duration_ms, on_crash_flag, ttl_ms
from ..claim import Claim, Outcome
from ..errors import MismatchError, OutcomeError
from ..joining import joined_key
from .errors import EmptyKeyError, HeldDeliveryError, RetryLaterError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from typing import Protocol, TypeVar, overload

    from typing_extensions import ParamSpec

    from ..arguments import ClaimOptions, Key, OnCrash
    from ..store import Store

    P = ParamSpec("P")
    R = TypeVar("R")

    class Decorator(Protocol):
        """What `consumer` returns."""

        @overload
        def __call__(
            self, handler: Callable[P, Coroutine[Any, Any, R]], /
        ) -> Callable[P, Coroutine[Any, Any, R | None]]: ...
        @overload
        def __call__(self, handler: Callable[P, R], /) -> Callable[P, R | None]: ...


#: Seconds that a handled event is remembered: a week, as providers give up redelivering after one
#: to three days, and a weekend may pass before somebody replays what failed.
DEFAULT_TTL = 7 * 86400.0
#: Seconds to wait for another delivery's handler; most are over by then.
DEFAULT_RETRY_AFTER = 10.0

_NAMESPACE = "webhook"
_MS_PER_SECOND = 1000

_log = logging.getLogger(__name__)
_attempt = contextvars.ContextVar("idemkey_webhook_attempt", default=1)


def attempt() -> int:
    """Which attempt at the event the running handler is: 1, or more after one of unknown fate.

    Above 1 an earlier handler was killed, cancelled, or failed after such a one: look what it has
    done before doing it again.
    """
    return _attempt.get()


def consumer(
    store: Store,
    *,
    key: Callable[..., Key],
    name: str | None = None,
    ttl: float = DEFAULT_TTL,
    fingerprint: Callable[..., bytes] | None = None,
    intent: Callable[..., bytes] | None = None,
    lease: float | None = None,
    on_crash: OnCrash = "reclaim",
    crash_grace: float = NO_TIME,
    retry_after: float = DEFAULT_RETRY_AFTER,
    on_held: Callable[[HeldDeliveryError], object] | None = None,
) -> Decorator:
    """Decorates a handler of webhooks, plain or async, to handle each event once.

    An event counts as handled when the handler has returned; later deliveries then return None
    without running it. An exception lets a later delivery run it again. So does the end of its
    process, SystemExit or a cancellation, but then `attempt` says so.

    Args:
        store: the store that all consumers of the events share.
        key: makes the event's key from the handler's arguments, which are to be passed in their
            order: see `fields_key`, `event_id_key`, `header_key` and `nextsign_key`.
        name: separates the handlers of one store, each of which handles an event once. None: the
            function's module and name; give one that outlives moving and renaming it.
        ttl: seconds that a handled event is remembered, or `FOREVER`.
        fingerprint: makes 16 bytes from the arguments; a delivery with the same key and others is
            a MismatchError. None: not compared, as repeated deliveries may differ, for instance
            in the time they were sent.
        intent: makes bytes from the arguments, for whoever must find out what a dead handler did.
        lease: seconds until another delivery may take over although the handler still runs.
        on_crash: ``"reclaim"``: after a handler's death a later delivery runs it again;
            ``"hold"``: it raises HeldDeliveryError until somebody calls `Store.resolve`.
        crash_grace: seconds after a handler's death until that.
        retry_after: seconds that RetryLaterError tells to wait.
        on_held: called with each HeldDeliveryError before it is raised, to alert somebody; may be
            async if the handler is.

    The handler, once decorated, raises:
        RetryLaterError: the event is being handled: deliver it again later, as that may fail.
        HeldDeliveryError: a person must resolve it; until then deliveries are not handled.
        EmptyKeyError: the delivery has no key; `key` may raise more.
        MismatchError: the fingerprint is another one.
        FullError and others of `Store.claim`: nothing was run.

    >>> from idemkey import webhooks
    >>> @webhooks.consumer(store, key=webhooks.nextsign_key, name="contracts")
    ... def handle(payload):
    ...     return payload["trigger"]
    >>> delivery = {"trigger": "signed", "case": {"_id": "65f", "updatedAt": "2024-05-01"}}
    >>> handle(delivery), handle(delivery)
    ('signed', None)
    """
    functions = {"key": key, "fingerprint": fingerprint, "intent": intent, "on_held": on_held}
    for argument, function in functions.items():
        if not callable(function) and (function is not None or argument == "key"):
            raise TypeError(f"{argument} must be a function, not {type(function).__name__}")
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a str, not {type(name).__name__}")
    ttl_ms(ttl)
    on_crash_flag(on_crash)
    wait_s = duration_ms("retry_after", retry_after) / _MS_PER_SECOND
    options: ClaimOptions = {
        "ttl": ttl,
        "lease": lease,
        "on_crash": on_crash,
        "crash_grace": crash_grace,
    }

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        is_async = any(
            inspect.iscoroutinefunction(call) for call in (handler, type(handler).__call__)
        )
        if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
            raise TypeError("a consumer is done with its event when it returns: not a generator")
        if inspect.iscoroutinefunction(on_held) and not is_async:
            raise TypeError("on_held is async and the handler is not, so nobody would await it")
        space = _full_name(handler) if name is None else name

        def request(*args: Any, **kwargs: Any) -> tuple[bytes, ClaimOptions]:
            event = key(*args, **kwargs)
            if not event:
                raise EmptyKeyError(f"key gave {event!r}: all such deliveries would be one event")
            claiming = options.copy()
            if fingerprint is not None:
                claiming["fingerprint"] = fingerprint(*args, **kwargs)
            if intent is not None:
                claiming["intent"] = intent(*args, **kwargs)
            return joined_key(_NAMESPACE, space, event), claiming

        @functools.wraps(handler)
        async def handle_async(*args: Any, **kwargs: Any) -> Any:
            event, claiming = request(*args, **kwargs)
            claim = await store.aclaim(event, **claiming)
            if claim.won:
                with _handling(claim):
                    return await handler(*args, **kwargs)
            refusal = _refusal(claim, wait_s)
            if refusal is None:
                return None
            if isinstance(refusal, HeldDeliveryError) and on_held is not None:
                told = on_held(refusal)
                if inspect.isawaitable(told):
                    await told
            raise refusal

        @functools.wraps(handler)
        def handle(*args: Any, **kwargs: Any) -> Any:
            event, claiming = request(*args, **kwargs)
            claim = store.claim(event, **claiming)
            if claim.won:
                with _handling(claim):
                    return handler(*args, **kwargs)
            refusal = _refusal(claim, wait_s)
            if refusal is None:
                return None
            if isinstance(refusal, HeldDeliveryError) and on_held is not None:
                on_held(refusal)
            raise refusal

        return handle_async if is_async else handle

    return cast("Decorator", decorate)


def _full_name(handler: Callable[..., object]) -> str:
    try:
        return f"{handler.__module__}.{handler.__qualname__}"
    except AttributeError:
        raise TypeError(f"a consumer that is no function needs a name=: {handler!r}") from None


@contextmanager
def _handling(claim: Claim) -> Iterator[None]:
    """Completes the claim if the handler returns; else the claim ends as its kind of exit says."""
    token = _attempt.set(claim.attempt)
    try:
        with claim:
            yield
            claim.complete()
    finally:
        _attempt.reset(token)


def _refusal(claim: Claim, retry_after: float) -> OutcomeError | None:
    """Why a delivery is not handled; None if its event has been."""
    if claim.outcome is Outcome.DONE:
        _log.debug("event %r has been handled: the delivery is ignored", claim.key)
        return None
    if claim.outcome is Outcome.BUSY:
        message = f"event {claim.key!r} is being handled: try again in {retry_after:g} s"
        return RetryLaterError(message, retry_after, claim)
    if claim.outcome is Outcome.HELD:
        message = f"event {claim.key!r} was left by its handler and waits for Store.resolve"
        return HeldDeliveryError(message, claim.key, claim.id, claim.attempt, claim.intent, claim)
    return MismatchError(f"event {claim.key!r} came before with another fingerprint", claim)
