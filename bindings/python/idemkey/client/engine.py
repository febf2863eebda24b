"""One operation from its key to its answer, without doing any I/O.

`operate` is a generator: it yields what is to be done (`Ask`, `Take`, `Send`, `Pause`) and is sent
the result, so that `Caller` and `AsyncCaller` share every rule.

The order is what makes a crash harmless. The key is claimed, with the intent, before the first
byte is sent, and the claim ends only with an answer or with the knowledge that nothing has
happened. A claim whose owner died or gave up is orphaned, and never expires. Whoever meets an
orphan first learns what became of it, and then claims it; the verdict counts only if nobody else
has claimed it in between, which the attempt's number tells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Union

from idemkey import (
    FOREVER,
    BusyError,
    MismatchError,
    NotFoundError,
    Outcome,
    State,
    TooBigError,
)
from idemkey.once import replay

from .errors import UnknownOutcomeError
from .intents import Done, Intent, Verdict, stored_intent, why_unsendable
from .messages import Answer, keep, kept_answer
from .sending import Pause, Send, Sending

if TYPE_CHECKING:
    from collections.abc import Generator

    from idemkey import Claim, Record
    from idemkey.arguments import ClaimOptions

    from .intents import Reconciled
    from .task import Rules, Task


@dataclass(frozen=True)
class Ask:
    """Ask ``reconcile`` what became of the intent; the result is its verdict."""

    intent: Intent


@dataclass(frozen=True)
class Take:
    """Claim a key; the result is the claim."""

    name: bytes
    options: ClaimOptions


Step = Union[Ask, Take, Send, Pause]


def operate(rules: Rules, task: Task) -> Generator[Step, Any, Answer | None]:
    """Brings the operation to its end; None: it was to be recovered, and is no orphan any more."""
    while True:
        orphan = _orphan(rules.store.lookup(task.name))
        if orphan is None and task.recovering:
            return None
        if orphan is not None and orphan.fingerprint in (None, task.fingerprint):
            verdict = yield from _judge(rules, task, orphan)
            if isinstance(verdict, Done):
                try:
                    return settle(rules, task.name, task.intent.key, verdict)
                except (BusyError, NotFoundError):
                    continue  # somebody else has it now
        claim = yield from _take(rules, task)
        if claim.outcome is Outcome.RECLAIMED and not _follows(claim, orphan):
            claim.abandon()  # of the attempt before this one nothing is known yet
            continue
        if task.recovering and claim.outcome is not Outcome.RECLAIMED:
            if claim.won:
                claim.release()
            return None
        if not claim.won:
            return _replay(task, claim)
        return (yield from Sending(rules, task, claim).run())


def settle(rules: Rules, name: bytes, key: str, done: Done) -> Answer:
    """Ends an orphan with what is known of it.

    Raises:
        NotFoundError, BusyError: it is none.
    """
    answer = Answer(done.status, done.headers, done.body, key, done.returned_id, replayed=True)
    return keep(
        answer, lambda value: rules.store.resolve(name, value, rules.ttl), rules.secret_headers
    )


def _orphan(seen: Record | None) -> Record | None:
    return seen if seen is not None and seen.state is State.ORPHANED else None


def _follows(claim: Claim, orphan: Record | None) -> bool:
    """Whether the claim is the next attempt after the one that was judged."""
    return orphan is not None and (claim.id, claim.attempt) == (orphan.id, orphan.attempt + 1)


def _judge(rules: Rules, task: Task, orphan: Record) -> Generator[Ask, Any, Reconciled]:
    """What became of an orphan: `Done`, or that it may be sent again.

    Raises:
        UnknownOutcomeError: it may not, or cannot.
    """
    intent = stored_intent(task.intent.key, orphan)
    where = f"key {intent.key!r}, {intent.method} {intent.url}"
    if rules.reconciles:
        verdict: Reconciled = yield Ask(intent)
        if not isinstance(verdict, (Done, Verdict)):
            raise TypeError(
                f"reconcile returned a {type(verdict).__name__} and must return Done(...), "
                f"Verdict.NOT_DONE or Verdict.UNKNOWN"
            )
        if verdict is Verdict.UNKNOWN:
            raise UnknownOutcomeError(f"{where}: reconcile does not know its outcome", intent)
    else:
        if not intent.server_idempotent:
            raise UnknownOutcomeError(
                f"{where}: its outcome is unknown, and this server does not absorb repetitions: "
                f"give the caller a reconcile function, or use resolve()",
                intent,
            )
        if intent.age + rules.retry.deadline >= rules.server_retention:
            raise UnknownOutcomeError(
                f"{where}: its outcome is unknown, and after {intent.age:.0f} seconds the server "
                f"may have forgotten the key: give the caller a reconcile function, or use "
                f"resolve()",
                intent,
            )
        verdict = Verdict.NOT_DONE  # as good as: the server runs it once
    if verdict is Verdict.NOT_DONE and task.recovering:
        missing = why_unsendable(intent, rules.client.supplies)
        if missing:
            raise UnknownOutcomeError(
                f"{where}: it cannot be sent again from its intent, as {missing}: call again with "
                f"the key and the request",
                intent,
            )
    return verdict


def _take(rules: Rules, task: Task) -> Generator[Take, Any, Claim]:
    """Claims the key with the intent; with one too big for the store, without the body."""
    options: ClaimOptions = {
        "fingerprint": task.fingerprint,
        "ttl": FOREVER,  # an orphan must not expire before somebody has looked
        "intent": task.intent.pack(),
        "wait": task.wait,
        "crash_grace": rules.crash_grace,
    }
    try:
        claim: Claim = yield Take(task.name, options)
    except TooBigError:
        claim = yield Take(task.name, {**options, "intent": replace(task.intent, body=None).pack()})
    return claim


def _replay(task: Task, claim: Claim) -> Answer:
    """The answer of then, or why there is none."""
    key = task.intent.key
    if claim.outcome is Outcome.MISMATCH:
        raise MismatchError(
            f"key {key!r} belongs to a request with another method, URL or body: a key is for one "
            f"operation, so make a new one",
            claim,
        )
    return kept_answer(key, replay(claim))
