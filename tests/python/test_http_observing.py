"""What operators see of requests: counts, events, log records."""

from __future__ import annotations

import logging

import pytest
from idemkey import Outcome
from idemkey.http import Action, Reason
from web import App, send, wrap

PROFILES = {
    "profile": "ietf",
    "principal": None,
    "routes": [{"match": "/other", "profile": "stripe"}],
}


@pytest.fixture
def events():
    return []


def test_counts_by_profile_and_reason(store):
    app = App()
    wrapped = wrap(app, store, config=PROFILES)
    other = wrap(App(), store)
    send(wrapped), send(wrapped), send(wrapped, body=b"x"), send(wrapped, key=None)
    send(wrapped, path="/other", key="o")
    assert wrapped.engine.counts == {
        "ietf": {"NO_KEY": 1, "FIRST": 1, "RECORDED": 1, "CONFLICT": 1, "KEPT": 1},
        "stripe": {"FIRST": 1, "KEPT": 1},
    }
    assert other.engine.counts == {"ietf": {}}


def test_every_decision_is_an_event(store, events):
    wrapped = wrap(App(), store, config=PROFILES, observer=events.append)
    send(wrapped, path="/other"), send(wrapped, path="/other"), send(wrapped, method="GET")
    assert [(event.action, event.reason) for event in events] == [
        (Action.RUN, Reason.FIRST),
        (Action.SEND, Reason.KEPT),
        (Action.REPLAY, Reason.RECORDED),
        (Action.PASS, Reason.NOT_APPLICABLE),
    ]
    first, kept, replay, passed = events
    assert {event.profile for event in events[:3]} == {"stripe"}
    assert {event.route for event in events[:3]} == {"/other"}
    assert (passed.profile, passed.route) == ("ietf", "")
    assert [event.status for event in events] == [0, 201, 201, 0]
    assert [event.outcome for event in events] == [
        Outcome.CLAIMED,
        Outcome.CLAIMED,
        Outcome.DONE,
        None,
    ]
    assert first.attempt == 1
    assert len(first.id) == 16
    assert first.id == kept.id == replay.id
    assert first.key == kept.key == replay.key
    assert len(first.key) == 32
    assert (passed.id, passed.key) == ("", "")


def test_a_key_is_shown_as_it_is_only_when_asked(store, events):
    for log_keys in (False, True):
        send(wrap(App(), store, observer=events.append, log_keys=log_keys), key='"k \\" 1"')
    assert "k" not in events[0].key
    assert [event.key for event in events[2:]] == ['k " 1']


def test_what_failed_is_told(path, events):
    import idemkey

    store = idemkey.Store(path)
    wrapped = wrap(App(), store, observer=events.append)
    store.close()
    assert send(wrapped).code == 503
    assert events[-1].reason is Reason.STORE_FAILED
    assert "closed" in events[-1].detail


@pytest.mark.parametrize(
    ("failure", "reason"), [(KeyError("x"), Reason.RELEASED), (SystemExit(), Reason.ABANDONED)]
)
def test_an_end_without_a_response_is_an_event(store, events, failure, reason):
    wrapped = wrap(App(body=failure), store, observer=events.append)
    with pytest.raises(type(failure)):
        send(wrapped)
    assert [event.reason for event in events] == [Reason.FIRST, reason]
    assert events[0].key == events[1].key
    assert wrapped.engine.counts["ietf"] == {"FIRST": 1, reason.name: 1}


def test_an_observer_that_fails_breaks_no_request(store, caplog):
    def observer(event):
        raise KeyError("observer")

    app = App()
    wrapped = wrap(app, store, observer=observer)
    assert [send(wrapped).code for _ in range(2)] == [201, 201]
    assert app.runs == 1
    failures = [record for record in caplog.records if "observer failed" in record.message]
    assert len(failures) == 3
    assert all(record.exc_info[0] is KeyError for record in failures)


def test_log_records_are_structured(store, caplog):
    caplog.set_level(logging.DEBUG, logger="idemkey.http")
    wrapped = wrap(App(), store, config=PROFILES)
    send(wrapped, path="/other"), send(wrapped, path="/other", body=b"x")
    first, kept, conflict = caplog.records
    assert {record.name for record in caplog.records} == {"idemkey.http"}
    assert [record.levelname for record in caplog.records] == ["DEBUG", "DEBUG", "INFO"]
    assert (kept.idemkey_profile, kept.idemkey_route) == ("stripe", "/other")
    assert (kept.idemkey_action, kept.idemkey_reason) == ("SEND", "KEPT")
    assert (kept.idemkey_outcome, kept.idemkey_attempt, kept.idemkey_status) == ("CLAIMED", 1, 201)
    assert kept.idemkey_id == first.idemkey_id == conflict.idemkey_id
    assert len(kept.idemkey_key) == 32
    assert conflict.idemkey_reason == "CONFLICT"
    assert conflict.message.startswith("CONFLICT: ")
    assert conflict.idemkey_key in conflict.message


def test_what_a_person_should_look_at_is_a_warning_or_an_error(store, caplog):
    app = App(body=SystemExit())
    wrapped = wrap(app, store)
    with pytest.raises(SystemExit):
        send(wrapped)
    app.answer = App().answer
    send(wrapped)
    found = [(record.levelname, record.idemkey_reason) for record in caplog.records]
    assert found == [("WARNING", "ABANDONED"), ("WARNING", "AGAIN")]
    assert "k-1" not in caplog.text


def test_every_reason_has_a_name_in_c_or_is_pythons_own():
    from idemkey.low_level import lib, text

    for reason in Reason:
        if reason is not Reason.ABANDONED:
            assert text(lib.idem_http_reason_name(reason.value)) == reason.name
    assert text(lib.idem_http_reason_name(len(Reason) - 1)) == "NO_REASON", "C has no other"
    for action in Action:
        assert text(lib.idem_http_action_name(action.value)) == action.name
