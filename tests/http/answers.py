"""Whether an answer is what a step expects."""

from __future__ import annotations

import json
import re

MARKED = "true"
NO_STORE = "no-store"  # of replays and refusals; the test application never says so
# Of one connection or moment, or said anew with each answer: no part of what is replayed.
NOT_REPLAYED = {
    "cache-control", "connection", "content-length", "date", "server", "set-cookie",
    "transfer-encoding", "www-authenticate",
}  # fmt: skip
RETRIED = ("busy", "unavailable")
EXPECT_MEMBERS = {
    "answer", "of", "status", "headers", "json", "body", "size", "between", "stored", "marker",
    "or_server",
}  # fmt: skip


def matches(expected, got):
    """JSON: objects may have more members; text that begins with ``~`` is a regular expression."""
    if isinstance(expected, dict):
        return isinstance(got, dict) and all(
            name in got and matches(value, got[name]) for name, value in expected.items()
        )
    if isinstance(expected, str) and expected.startswith("~"):
        return isinstance(got, str) and re.fullmatch(expected[1:], got) is not None
    return type(expected) is type(got) and expected == got


class Judge:
    """Judges the answers of one scenario, in order."""

    def __init__(self, scenario, behind_server):
        self._table = scenario.table
        self._behind_server = behind_server
        self._named = {}
        self._runs_seen = set()

    def name(self, step_name, answer):
        self._named[step_name] = answer

    def why_not(self, expect, answer):
        """What is wrong with the answer; None if nothing is."""
        try:
            self.check(expect, answer)
        except AssertionError as error:
            return str(error)
        return None

    def check(self, expect, answer):
        expect = {"answer": expect} if isinstance(expect, str) else dict(expect)
        assert set(expect) <= EXPECT_MEMBERS, f"unknown members in {expect}"
        kind = expect.pop("answer")
        refusal = self._table["answers"].get(kind)
        if refusal and "answer" in refusal:
            kind, refusal = refusal["answer"], None
        if kind == "run":
            self._check_run(expect, answer)
        elif kind == "replay":
            self._check_replay(expect, answer)
        elif kind == "lost":
            assert answer.lost, "there is an answer"
        else:
            self._check_refusal(kind, refusal, expect, answer)
        self._check_details(expect, answer)

    def _check_run(self, expect, answer):
        assert answer.from_handler, "it is not the handler's"
        run = answer.value("X-Handler")
        assert run not in self._runs_seen, "it is not a new execution's"
        assert NO_STORE not in answer.values("Cache-Control"), "it is a replay"
        assert answer.status == expect.get("status", 201), "it has another status"
        assert self._marker(expect, answer) is None, "it is marked as a replay"
        assert answer.value("Idempotency-Stored") == expect.get("stored"), "Idempotency-Stored"
        self._runs_seen.add(run)

    def _check_replay(self, expect, answer):
        assert answer.from_handler, "it is not the handler's"
        marked = MARKED if expect.get("marker") or self._table["marker"] else None
        assert self._marker(expect, answer) == marked, "the mark of a replay is wrong"
        assert answer.values("Cache-Control") == [NO_STORE], "a cache may store it"
        assert answer.value("Set-Cookie") is None, "it has a cookie"
        assert answer.value("Content-Length") == str(len(answer.body)), "its length is wrong"
        of = expect.get("of", "first")
        if of is not None:
            original = self._named[of]
            assert answer.status == original.status, "another status than the original's"
            assert answer.body == original.body, "another body than the original's"
            assert self._replayed(answer) == self._replayed(original), "other fields"

    def _check_refusal(self, kind, refusal, expect, answer):
        assert refusal, f"the profile has no answer {kind!r}"
        assert not answer.from_handler, "it is the handler's"
        assert answer.status == refusal["status"], f"it is not {refusal['status']}"
        own = NO_STORE in answer.values("Cache-Control")
        if expect.get("or_server") and self._behind_server and not own:
            return
        assert answer.values("Cache-Control") == [NO_STORE], "a cache may store it"
        assert answer.value("Content-Type") == self._table["form"], "it has another form"
        assert answer.value("Content-Length") == str(len(answer.body)), "its length is wrong"
        assert self._marker(expect, answer) is None, "it is marked as a replay"
        assert matches(refusal["json"], json.loads(answer.body)), f"not as {refusal['json']}"
        retry_after = answer.value("Retry-After")
        if kind in RETRIED:
            assert retry_after and int(retry_after) >= 1, "it does not say when to retry"
        else:
            assert retry_after is None, "it says when to retry"

    def _check_details(self, expect, answer):
        if "status" in expect:
            assert answer.status == expect["status"], "it has another status"
        if "json" in expect:
            assert matches(expect["json"], json.loads(answer.body)), f"not as {expect['json']}"
        if "body" in expect:
            assert answer.body == expect["body"].encode(), "it has another body"
        if "size" in expect:
            wanted = bytes(i % 256 for i in range(expect["size"]))
            assert answer.body == wanted, "its body is not the one that was made"
        for name, value in expect.get("headers", {}).items():
            wanted = value if isinstance(value, list) else [] if value is None else [value]
            assert answer.values(name) == wanted, f"{name} is not {value!r}"
        for name, (low, high) in expect.get("between", {}).items():
            number = int(answer.value(name) or -1)
            assert low <= number <= high, f"{name} is not between {low} and {high}"

    def _marker(self, expect, answer):
        name = expect.get("marker") or self._table["marker"]
        return answer.value(name) if name else self._any_marker(answer)

    @staticmethod
    def _any_marker(answer):
        """A profile without a marker must not have another's."""
        for name in ("Idempotent-Replayed", "X-Idempotency-Replayed"):
            if answer.values(name):
                return name
        return None

    def _replayed(self, answer):
        added = {(self._table["marker"] or "").lower(), "x-repeat", "idempotency-retention"}
        left_out = NOT_REPLAYED | added
        return sorted(
            (name.lower(), value) for name, value in answer.fields if name.lower() not in left_out
        )
