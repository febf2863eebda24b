"""Sending what has been claimed: again and again if that is safe, until the claim can be ended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .errors import RetriesExhaustedError, UnknownOutcomeError
from .messages import Answer, Request, find_id, keep
from .policy import Meaning, meaning, retry_after_seconds
from .transport import LostReplyError, NotSentError

if TYPE_CHECKING:
    from collections.abc import Generator

    from idemkey import Claim

    from .task import Rules, Task


@dataclass(frozen=True)
class Send:
    """Send the request once; the result is the answer."""

    request: Request
    timeout: float


@dataclass(frozen=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True)
class _Try:
    """What one request has come to: an answer, or a problem."""

    says: Meaning
    answer: Answer | None = None
    problem: Exception | None = None

    def __str__(self) -> str:
        return str(self.problem) if self.answer is None else f"the answer was {self.answer.status}"


class Sending:
    """The requests of one claim, and its end."""

    def __init__(self, rules: Rules, task: Task, claim: Claim) -> None:
        self._rules = rules
        self._task = task
        self._claim = claim
        self._intent = replace(task.intent, attempts=claim.attempt, age=claim.age)
        self._deadline = rules.clock() + rules.retry.deadline
        self._may_have_run = False  # by this claim's requests; of earlier claims the store knows
        self._open = True

    def run(self) -> Generator[Send | Pause, Any, Answer]:
        """Sends until there is an answer; however that ends, the claim is ended too."""
        try:
            failures = 0
            while True:
                tried = yield from self._try()
                if tried.answer and tried.says is Meaning.DECIDED:
                    return self._complete(tried.answer)
                if tried.answer and tried.says is Meaning.REFUSED:
                    return tried.answer
                failures += 1
                yield Pause(self._pause_after(failures, tried))
        finally:
            if self._open and self._may_have_run:
                self._claim.abandon()
            elif self._open:
                self._claim.release()

    def _try(self) -> Generator[Send, Any, _Try]:
        """Sends once; afterwards `_may_have_run` is as the outcome makes it."""
        before, self._may_have_run = self._may_have_run, True  # also if this is interrupted
        try:
            answer = yield Send(self._task.request, min(self._rules.timeout, self._left()))
        except NotSentError as error:
            tried = _Try(Meaning.LATER, problem=error)
        except LostReplyError as error:
            tried = _Try(Meaning.UNSURE, problem=error)
        else:
            answer = replace(answer, key=self._intent.key)
            retry_after = answer.header("Retry-After")
            says = meaning(answer.status, retry_after, self._intent.server_idempotent)
            tried = _Try(says, answer)
        if tried.says in (Meaning.REFUSED, Meaning.LATER):
            self._may_have_run = before
        return tried

    def _pause_after(self, failures: int, tried: _Try) -> float:
        """Seconds until the next request; an exception if there may be none."""
        what = f"key {self._intent.key!r}: {tried}"
        if self._may_have_run and not self._intent.server_idempotent:
            raise UnknownOutcomeError(
                f"{what}; whether it has happened is unknown, and this server does not absorb "
                f"repetitions",
                self._intent,
            ) from tried.problem
        retry = self._rules.retry
        asked = tried.answer.header("Retry-After") if tried.answer else None
        pause = retry.delay(failures, retry_after_seconds(asked))
        if failures >= retry.attempts or pause >= self._left():
            raise RetriesExhaustedError(
                f"{what}; given up after {failures} requests",
                self._intent,
                self._may_have_run,
                tried.answer,
            ) from tried.problem
        return pause

    def _left(self) -> float:
        return self._deadline - self._rules.clock()

    def _complete(self, answer: Answer) -> Answer:
        """Ends the claim with the answer, also if the user's function finds no id in it."""
        try:
            answer = replace(answer, returned_id=find_id(answer, self._task.returned_id))
        finally:
            answer = keep(answer, self._write, self._rules.secret_headers)
        return answer

    def _write(self, value: bytes) -> None:
        self._claim.complete(value, self._rules.ttl)
        self._open = False
