"""The rules of `Caller` and `AsyncCaller`: what is sent, what is kept, what is raised."""

import gc
import pickle
import warnings

import idemkey
import pytest
from idemkey import State
from idemkey.client import (
    Answer,
    LostReplyError,
    NotSentError,
    RetriesExhaustedError,
    Retry,
    UnknownOutcomeError,
)
from scripted import CREATED, Async, Sync

BUSY = Answer(503, (("Retry-After", "7"),))
IN_FLIGHT = Answer(409, (("Retry-After", "1"),))


@pytest.fixture(params=[Sync, Async])
def make(request, store):
    """``make(*acts, **options)``: a caller whose transport does so, on the test's store."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        yield lambda *acts, **options: request.param(store, *acts, **options)
        gc.collect()


def state(store, caller, key="k"):
    record = store.lookup(caller.caller.store_key(key))
    return record and record.state


class TestOnce:
    def test_a_second_call_gets_the_answer_and_sends_nothing(self, make):
        caller = make(CREATED, returned_id="data.id")
        first = caller.post(key="k")
        again = caller.post(key="k")
        assert (first.status, first.returned_id, first.key) == (201, "payout_1", "k")
        assert (again.status, again.body, again.headers) == (201, first.body, first.headers)
        assert (again.returned_id, again.json()) == ("payout_1", {"data": {"id": "payout_1"}})
        assert [first.replayed, again.replayed] == [False, True]
        assert first.final and again.final and len(caller.sent) == 1

    def test_the_key_is_made_once_and_stays_through_retries(self, make):
        caller = make(LostReplyError("reset"), BUSY, CREATED)
        answer = caller.post()
        keys = {request.header("Idempotency-Key") for request in caller.sent}
        assert len(caller.sent) == 3 and keys == {answer.key}
        assert len({request.body for request in caller.sent}) == 1
        assert make(CREATED).post().key != answer.key

    def test_the_intent_is_stored_before_the_request_leaves(self, make, store):
        def look(request):
            (record,) = store.scan()
            assert record.state is State.PENDING and b'{"amount":1}' in record.intent
            assert record.expires_in == idemkey.FOREVER
            return CREATED

        make(look).post(key="k")

    def test_equal_data_is_one_request_whatever_its_order(self, make):
        caller = make(CREATED)
        caller.post({"a": 1, "b": 2}, key="k")
        assert caller.post({"b": 2, "a": 1}, key="k").replayed
        assert caller.sent[0].body == b'{"a":1,"b":2}'

    def test_another_request_with_the_key_is_refused(self, make):
        caller = make(CREATED)
        caller.post({"amount": 1}, key="k")
        with pytest.raises(idemkey.MismatchError, match="'k' belongs to a request with another"):
            caller.post({"amount": 2}, key="k")
        assert len(caller.sent) == 1

    def test_apis_have_keys_of_their_own(self, make):
        one, other = make(CREATED, api="one"), make(CREATED, api="other")
        assert not one.post(key="k").replayed
        assert not other.post({"amount": 2}, key="k").replayed

    def test_a_call_in_progress_is_not_made_twice(self, make, store):
        def meanwhile(request):
            with pytest.raises(idemkey.BusyError):
                Sync(store).post(key="k")
            return CREATED

        caller = make(meanwhile)
        assert caller.post(key="k").status == 201 and len(caller.sent) == 1

    def test_the_answer_is_kept_as_long_as_told(self, make, store):
        caller = make(CREATED, ttl=idemkey.FOREVER)
        caller.post(key="k")
        assert store.lookup(caller.caller.store_key("k")).expires_in == idemkey.FOREVER


class TestHeader:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, ("Idempotency-Key", 'a"b')),
            ({"header": "X-Idempotency-Key"}, ("X-Idempotency-Key", 'a"b')),
            ({"quoted": True}, ("Idempotency-Key", r'"a\"b"')),
        ],
    )
    def test_name_and_form(self, make, options, expected):
        caller = make(CREATED, **options)
        caller.post(key='a"b')
        assert expected in caller.sent[0].headers

    def test_a_server_without_idempotency_gets_none(self, make):
        caller = make(CREATED, server_idempotent=False)
        caller.post(key="k")
        assert caller.sent[0].headers == (("Content-Type", "application/json"),)


class TestRetries:
    @pytest.mark.parametrize(
        "failure",
        [
            NotSentError("refused"),
            LostReplyError("reset"),
            Answer(429),
            Answer(500),
            BUSY,
            IN_FLIGHT,
        ],
    )
    def test_what_passes_is_tried_again(self, make, failure):
        caller = make(failure, failure, CREATED)
        assert caller.post(key="k").status == 201 and len(caller.sent) == 3

    @pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 409, 410, 422, 425])
    @pytest.mark.parametrize("idempotent", [True, False])
    def test_other_4xx_are_not(self, make, status, idempotent):
        caller = make(Answer(status), server_idempotent=idempotent)
        assert caller.post(key="k").status == status and len(caller.sent) == 1

    @pytest.mark.parametrize("status", [400, 402, 409, 410, 422])
    def test_a_decision_is_kept(self, make, status):
        caller = make(Answer(status, (), b"no"))
        assert caller.post(key="k").final
        again = caller.post(key="k")
        assert (again.status, again.body, again.replayed) == (status, b"no", True)

    @pytest.mark.parametrize("status", [401, 403, 404, 408, 302, 307])
    def test_no_decision_gives_the_key_back(self, make, store, status):
        caller = make(Answer(status), CREATED)
        assert not caller.post({"amount": 1}, key="k").final
        assert state(store, caller) is None
        assert caller.post({"amount": 2}, key="k").status == 201

    def test_after_a_lost_reply_no_decision_leaves_it_unfinished(self, make, store):
        caller = make(LostReplyError("reset"), Answer(401), CREATED)
        assert not caller.post(key="k").final
        assert state(store, caller) is State.ORPHANED
        assert caller.post(key="k").final

    def test_pauses_grow_and_retry_after_is_kept_to(self, make):
        retry = Retry(attempts=4, base=1.0, cap=1.5, retry_after_cap=5.0)
        caller = make(Answer(500), BUSY, LostReplyError("reset"), CREATED, retry=retry)
        caller.post()
        pauses = caller.clock.slept
        assert 0 <= pauses[0] <= 1 and 5 <= pauses[1] <= 6.5 and 0 <= pauses[2] <= 1.5

    def test_the_number_of_requests_is_bounded(self, make, store):
        caller = make(*[LostReplyError("reset")] * 9, retry=Retry(attempts=3))
        with pytest.raises(RetriesExhaustedError, match="reset; given up after 3") as caught:
            caller.post(key="k")
        assert (caught.value.key, caught.value.may_have_run) == ("k", True)
        assert isinstance(caught.value.__cause__, LostReplyError) and len(caller.sent) == 3
        assert state(store, caller) is State.ORPHANED

    def test_time_is_bounded(self, make):
        caller = make(*[BUSY] * 9, retry=Retry(attempts=9, base=0.0, deadline=20.0))
        with pytest.raises(RetriesExhaustedError, match="answer was 503") as caught:
            caller.post()
        assert caught.value.answer.status == 503
        assert caller.clock.slept == [7.0, 7.0], "the third pause would end behind the deadline"

    @pytest.mark.parametrize("idempotent", [True, False])
    @pytest.mark.parametrize("failure", [NotSentError("refused"), Answer(429)])
    def test_what_never_ran_gives_the_key_back(self, make, store, failure, idempotent):
        caller = make(*[failure] * 5, CREATED, server_idempotent=idempotent)
        with pytest.raises(RetriesExhaustedError) as caught:
            caller.post({"amount": 1}, key="k")
        assert not caught.value.may_have_run and state(store, caller) is None
        assert caller.post({"amount": 2}, key="k").status == 201

    def test_the_next_call_goes_on_with_the_same_key(self, make):
        caller = make(*[LostReplyError("reset")] * 5, CREATED)
        with pytest.raises(RetriesExhaustedError) as caught:
            caller.post()
        assert caller.post(key=caught.value.key).status == 201
        assert len({request.header("Idempotency-Key") for request in caller.sent}) == 1

    def test_an_error_of_the_transport_leaves_it_unfinished(self, make, store):
        caller = make(ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            caller.post(key="k")
        assert state(store, caller) is State.ORPHANED

    def test_an_interruption_leaves_it_unfinished(self, make, store):
        caller = make(KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            caller.post(key="k")
        assert state(store, caller) is State.ORPHANED

    def test_an_interruption_of_a_pause_after_a_refusal_gives_the_key_back(self, make, store):
        def stop(seconds):
            raise KeyboardInterrupt

        caller = make(Answer(429), sleep=stop)
        with pytest.raises(KeyboardInterrupt):
            caller.post(key="k")
        assert state(store, caller) is None


class TestWithoutIdempotency:
    """NextSign's rules: the same POST twice makes two resources."""

    @pytest.mark.parametrize("failure", [LostReplyError("reset"), Answer(500), BUSY])
    def test_a_lost_reply_is_unknown_and_never_sent_again(self, make, store, failure):
        caller = make(failure, CREATED, server_idempotent=False, crash_grace=0.0)
        for _ in range(3):
            with pytest.raises(UnknownOutcomeError) as caught:
                caller.post({"referenceId": "order-7"}, key="k", context={"order": 7})
            intent = caught.value.intent
            assert (caught.value.key, intent.key) == ("k", "k")
            assert (intent.json(), intent.context) == ({"referenceId": "order-7"}, {"order": 7})
        assert len(caller.sent) == 1
        assert caller.recover()[0].error.key == "k" and len(caller.sent) == 1

    def test_a_refused_connection_is_tried_again(self, make):
        caller = make(NotSentError("refused"), Answer(429), CREATED, server_idempotent=False)
        assert caller.post().status == 201 and len(caller.sent) == 3

    def test_the_error_pickles(self, make):
        caller = make(LostReplyError("reset"), server_idempotent=False)
        with pytest.raises(UnknownOutcomeError) as caught:
            caller.post(key="k")
        copy = pickle.loads(pickle.dumps(caught.value))
        assert (str(copy), copy.intent) == (str(caught.value), caught.value.intent)
