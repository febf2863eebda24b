"""Unfinished operations: what `reconcile` says is done, and nothing before it is asked."""

import idemkey
import pytest
from children import eventually
from idemkey import Outcome, State
from idemkey.client import (
    Done,
    LostReplyError,
    RetriesExhaustedError,
    Retry,
    UnknownOutcomeError,
    Verdict,
)
from scripted import CREATED, URL, Async, Sync

LOST = LostReplyError("reset")
ONCE = Retry(attempts=1)


@pytest.fixture(params=[Sync, Async])
def make(request, store):
    def caller(*acts, **options):
        return request.param(store, *acts, **{"retry": ONCE, "crash_grace": 0.0, **options})

    return caller


class Reconciler:
    """Says the verdicts in turn, and remembers what it was asked."""

    def __init__(self, *verdicts):
        self.verdicts = list(verdicts)
        self.asked = []

    def __call__(self, intent):
        self.asked.append(intent)
        verdict = self.verdicts.pop(0)
        return verdict() if callable(verdict) else verdict


def leave(make, key="k", json=None, idempotent=True, **options):
    """An operation whose reply was lost."""
    caller = make(LOST, server_idempotent=idempotent)
    with pytest.raises((RetriesExhaustedError, UnknownOutcomeError)):
        caller.post(json, key=key, **options)
    return caller


@pytest.fixture(params=[True, False], ids=["idempotent", "not-idempotent"])
def idempotent(request):
    return request.param


class TestCall:
    def test_done_is_the_answer(self, make, idempotent):
        leave(make, idempotent=idempotent)
        ask = Reconciler(Done("case_1", status=201, body=b'{"_id": "case_1"}'))
        caller = make(reconcile=ask, server_idempotent=idempotent)
        for _ in range(2):
            answer = caller.post(key="k")
            assert (answer.status, answer.returned_id) == (201, "case_1")
            assert answer.json() == {"_id": "case_1"} and answer.replayed and answer.final
        assert len(ask.asked) == 1 and caller.sent == []

    def test_not_done_is_sent_with_the_same_key(self, make, idempotent):
        first = leave(make, idempotent=idempotent)
        ask = Reconciler(Verdict.NOT_DONE)
        caller = make(CREATED, reconcile=ask, server_idempotent=idempotent)
        assert caller.post(key="k").status == 201
        assert caller.sent == first.sent, "the same request, key included"

    def test_unknown_changes_nothing(self, make, store, idempotent):
        leave(make, idempotent=idempotent)
        name = make().caller.store_key("k")
        ask = Reconciler(*[Verdict.UNKNOWN] * 200)
        caller = make(reconcile=ask, server_idempotent=idempotent)
        for _ in range(200):  # more than a key has attempts
            with pytest.raises(UnknownOutcomeError, match="reconcile does not know"):
                caller.post(key="k")
        assert caller.sent == []
        assert (store.lookup(name).state, store.lookup(name).attempt) == (State.ORPHANED, 1)

    def test_what_it_is_told(self, make, idempotent):
        leave(make, json={"amount": 5}, idempotent=idempotent, context={"order": 7})
        ask = Reconciler(Done())
        make(reconcile=ask, server_idempotent=idempotent).post({"amount": 5}, key="k")
        (intent,) = ask.asked
        assert (intent.key, intent.method, intent.url) == ("k", "POST", URL)
        assert (intent.json(), intent.context) == ({"amount": 5}, {"order": 7})
        assert (intent.server_idempotent, intent.attempts) == (idempotent, 1)
        assert intent.age >= 0

    def test_its_error_changes_nothing(self, make, store):
        leave(make)
        caller = make(reconcile=Reconciler(lambda: 1 / 0))
        with pytest.raises(ZeroDivisionError):
            caller.post(key="k")
        assert store.lookup(caller.caller.store_key("k")).attempt == 1

    @pytest.mark.parametrize("verdict", [None, True, "done", Done])
    def test_other_answers_are_refused(self, make, verdict):
        leave(make)
        caller = make(reconcile=lambda intent: verdict)
        with pytest.raises(TypeError, match=r"reconcile returned a \w+ and must return"):
            caller.post(key="k")
        assert caller.sent == []

    def test_it_is_not_asked_for_another_request(self, make):
        leave(make)
        ask = Reconciler()
        with pytest.raises(idemkey.MismatchError):
            make(reconcile=ask).post({"amount": 2}, key="k")
        assert ask.asked == []

    def test_nothing_is_sent_while_the_server_may_be_at_work(self, make):
        caller = make(LOST, server_idempotent=False, crash_grace=None)
        with pytest.raises(UnknownOutcomeError):
            caller.post(key="k")
        ask = Reconciler(Verdict.NOT_DONE, Done("case_1"))
        later = make(server_idempotent=False, reconcile=ask)
        with pytest.raises(idemkey.BusyError):
            later.post(key="k")
        assert later.post(key="k").returned_id == "case_1", "what is found counts at once"
        assert later.sent == []

    def test_a_verdict_does_not_count_if_others_tried_meanwhile(self, make, store):
        leave(make)
        name = make().caller.store_key("k")

        def overtaken():
            claim = store.claim(name)
            assert claim.outcome is Outcome.RECLAIMED
            claim.abandon()
            return Verdict.NOT_DONE

        ask = Reconciler(overtaken, Done("payout_1"))
        caller = make(reconcile=ask)
        assert caller.post(key="k").returned_id == "payout_1"
        assert caller.sent == [] and len(ask.asked) == 2

    def test_done_does_not_count_if_another_has_it_meanwhile(self, make, store):
        leave(make)
        name = make().caller.store_key("k")
        claims = []

        def overtaken():
            claims.append(store.claim(name))
            return Done("stale")

        caller = make(reconcile=Reconciler(overtaken))
        with pytest.raises(idemkey.BusyError):
            caller.post(key="k")
        claims[0].abandon()


class TestWithoutReconcile:
    def test_an_idempotent_server_is_asked_again(self, make):
        first = leave(make)
        caller = make(CREATED)
        assert caller.post(key="k").status == 201 and caller.sent == first.sent

    def test_but_not_when_it_may_have_forgotten_the_key(self, make, store):
        left = leave(make)
        eventually(lambda: store.lookup(left.caller.store_key("k")).age > 0)
        caller = make(retry=Retry(attempts=1, deadline=10.0), server_retention=10.0 + 1e-9)
        with pytest.raises(UnknownOutcomeError, match="may have forgotten the key"):
            caller.post(key="k")
        assert caller.sent == []

    def test_what_was_sent_without_a_key_is_not_sent_with_one(self, make):
        leave(make, idempotent=False)
        caller = make()
        with pytest.raises(UnknownOutcomeError):
            caller.post(key="k")
        assert caller.sent == []


class TestRecover:
    def test_each_unfinished_operation_is_ended(self, make):
        for key in ("a", "b", "c"):
            leave(make, key, {"name": key})
        make(CREATED).post(key="done")
        verdicts = {"a": Done("payout_a"), "b": Verdict.NOT_DONE, "c": Verdict.UNKNOWN}
        caller = make(CREATED, reconcile=lambda i: verdicts[i.key], returned_id="data.id")
        found = {each.key: each for each in caller.recover()}
        assert found["a"].answer.returned_id == "payout_a"
        assert found["b"].answer.returned_id == "payout_1"
        assert isinstance(found["c"].error, UnknownOutcomeError) and len(found) == 3
        (sent,) = caller.sent
        assert (sent.body, sent.header("Idempotency-Key")) == (b'{"name":"b"}', "b")
        assert [intent.key for intent in caller.caller.unfinished()] == ["c"]

    def test_other_apis_and_keys_are_left_alone(self, make, store):
        store.claim("client:test").abandon()
        store.claim("other").abandon()
        leave(lambda *acts, **options: make(*acts, api="testing", **options))
        assert make(reconcile=Reconciler()).recover() == []

    def test_what_the_intent_alone_cannot_make_is_not_sent(self, make):
        leave(make, "no-body", keep_body=False)
        leave(make, "secret", headers={"Authorization": "Bearer t0p"})
        caller = make(reconcile=lambda intent: Verdict.NOT_DONE)
        errors = {each.key: str(each.error) for each in caller.recover()}
        assert "its body was not kept" in errors["no-body"]
        assert "Authorization was left out as a secret" in errors["secret"]
        assert caller.sent == []
        again = make(CREATED, reconcile=lambda intent: Verdict.NOT_DONE)
        assert again.post(key="secret", headers={"Authorization": "Bearer t0p"}).status == 201

    def test_its_own_failures_are_told_and_the_rest_goes_on(self, make):
        leave(make, "a")
        leave(make, "b")
        verdicts = iter([lambda: 1 / 0, lambda: Done("x")])
        results = make(reconcile=lambda intent: next(verdicts)()).recover()
        assert sorted(type(each.error) for each in results if each.error) == [ZeroDivisionError]
        assert [each.answer.returned_id for each in results if each.answer] == ["x"]

    def test_an_unreadable_intent_is_told(self, make, store):
        store.claim("client:test:k", intent=b"?").abandon()
        (found,) = make().recover()
        assert isinstance(found.error, idemkey.CorruptError)

    def test_a_key_given_back_meanwhile_is_not_begun(self, make, store):
        leave(make)
        caller = make()
        name = caller.caller.store_key("k")

        def forgotten():
            store.resolve(name, None)
            return Verdict.NOT_DONE

        caller = make(reconcile=Reconciler(forgotten))
        assert caller.recover() == [] and caller.sent == []
        assert store.lookup(name) is None


class TestResolve:
    def test_done(self, make):
        leave(make, idempotent=False)
        caller = make(server_idempotent=False)
        caller.caller.resolve("k", Done("case_1"))
        assert caller.post(key="k").returned_id == "case_1"

    def test_not_done(self, make, store):
        leave(make, idempotent=False)
        caller = make(CREATED, server_idempotent=False)
        caller.caller.resolve("k", Verdict.NOT_DONE)
        assert store.lookup(caller.caller.store_key("k")) is None
        assert caller.post(key="k").status == 201

    def test_what_it_does_not_take(self, make):
        leave(make)
        caller = make()
        with pytest.raises(ValueError, match=r"must be Done\(...\) or Verdict.NOT_DONE"):
            caller.caller.resolve("k", Verdict.UNKNOWN)
        with pytest.raises(idemkey.NotFoundError):
            caller.caller.resolve("other", Done())
