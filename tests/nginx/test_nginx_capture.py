"""What becomes of a key when the upstream, a worker of nginx or nginx itself is ended."""

from __future__ import annotations

import itertools
from dataclasses import replace

import idemkey
import pytest
from message import Request
from player import Pending
from scene import Scene, eventually
from vectors import PROFILES, Scenario

NUMBERS = itertools.count()


class Stage:
    """A scene on a gateway, in which one key is used."""

    def __init__(self, gateway, **config):
        config = {**PROFILES["ietf"]["config"], "wait": 0, **config}
        self._scenario = Scenario("capture", "ietf", "", None, frozenset(), config, [])
        self.scene = Scene.create(gateway.scenes, f"capture-{next(NUMBERS)}", config)
        self.gateway = gateway

    def request(self, upstream=None, sent=None, **handler):
        send = {"handler": handler} if sent is None else {"handler": handler, "body": sent}
        made = Request.make(self._scenario, self.scene.name, send)
        if upstream:
            made = replace(made, fields=(*made.fields, ("X-Upstream", upstream)))
        return made

    def send(self, *arguments, **handler):
        return self.gateway.send(self.request(*arguments, **handler))

    def start(self, **handler):
        """Sends a request whose handler waits for `Scene.let_go`."""
        pending = Pending(self.gateway.exchange, self.request(**handler, block="first"))
        eventually(lambda: self.scene.has_arrived("first"), "the handler runs")
        return pending

    def runs(self):
        return len(self.scene.runs())

    def record(self):
        with self.scene.store() as store:
            assert store.check()["violations"] == 0
            (record,) = store.scan()
            return record

    def settle(self, **handler):
        """The first answer that is not "in flight"."""

        def settled():
            answer = self.send(**handler)
            return None if answer.value("Retry-After") else answer

        return eventually(settled, "the key is settled")

    def check_lost(self, **handler):
        """Nobody knows what the first attempt has done: the next one is told that it is second."""
        answer = self.settle(**handler)
        assert (answer.status, b'"attempt": 2' in answer.body) == (201, True), answer
        assert self.record().state is idemkey.State.DONE
        again = self.send()
        assert (again.status, again.body) == (answer.status, answer.body)


@pytest.mark.parametrize("end", ["early", "late", "die"])
def test_the_upstream_ends_in_its_midst(gateway, end):
    """An exception before the response is a response of 500, which gives the key back."""
    stage = Stage(gateway)
    answer = stage.send(fail=end)
    assert answer.lost
    if end == "early":
        assert stage.send().status == 201
        assert stage.record().id and b'"attempt": 1' in stage.send().body
    else:
        assert answer.status == 502
        assert stage.record().state is idemkey.State.ORPHANED
        stage.check_lost()
    assert stage.runs() == 2


def test_the_upstream_takes_too_long(gateway):
    stage = Stage(gateway)
    answer = stage.send("/impatient", block="first")
    assert answer.status == 504
    assert stage.record().state is idemkey.State.ORPHANED
    stage.scene.let_go("first")
    stage.check_lost()


def test_the_upstream_is_not_there(gateway):
    stage = Stage(gateway)
    answer = stage.send("/nowhere")
    assert answer.status == 502
    assert stage.record().state is idemkey.State.ORPHANED
    stage.check_lost()
    assert stage.runs() == 1


def test_held_for_a_person(gateway):
    stage = Stage(gateway, on_crash="hold")
    assert stage.send("/nowhere").status == 502
    assert stage.record().held
    assert stage.send().status == PROFILES["ietf"]["answers"]["unknown"]["status"]
    assert stage.runs() == 0


def test_an_upstream_that_is_a_gateway_itself_may_not_know(gateway):
    stage = Stage(gateway)
    answer = stage.send(status=502, body="no answer of mine")
    assert (answer.status, answer.body) == (502, b"no answer of mine")
    assert stage.record().state is idemkey.State.ORPHANED


def test_a_large_response_is_whole_and_not_kept(gateway):
    stage = Stage(gateway, max_response=2000)
    answer = stage.send(size=300000)
    assert answer.body == bytes(i % 256 for i in range(300000))
    assert answer.value("Idempotency-Stored") == "false"
    assert stage.send().status == PROFILES["ietf"]["answers"]["not_kept"]["status"]
    assert stage.runs() == 1


def test_a_large_request_is_read_from_its_file(gateway):
    stage = Stage(gateway)
    body = "x" * 20000
    answer = stage.send(sent=body)
    assert answer.status == 201
    assert f'"received": "{body}"'.encode() in answer.body
    assert stage.send(sent=body).body == answer.body
    assert stage.send(sent=body[:-1] + "y").status == 422
    assert stage.runs() == 1


def test_killed_workers_are_recovered_by_the_next(gateway):
    stage = Stage(gateway)
    pending = stage.start()
    assert stage.send().status == PROFILES["ietf"]["answers"]["busy"]["status"]
    gateway.kill_workers()
    assert pending.answer().lost
    stage.scene.let_go("first")
    stage.check_lost()
    assert stage.runs() == 2


def test_a_reload_ends_nothing(gateway):
    stage = Stage(gateway)
    pending = stage.start()
    gateway.reload()
    assert stage.send().status == PROFILES["ietf"]["answers"]["busy"]["status"]
    stage.scene.let_go("first")
    answer = pending.answer()
    assert answer.status == 201
    assert stage.send().body == answer.body
    assert stage.runs() == 1


def test_workers_that_may_not_finish_have_left_their_keys(hasty_gateway):
    stage = Stage(hasty_gateway)
    pending = stage.start()
    old = hasty_gateway.reload()
    assert pending.answer().lost
    eventually(lambda: not old & hasty_gateway.workers(), "the old workers have left")
    stage.scene.let_go("first")
    stage.check_lost()
    assert stage.runs() == 2


def test_a_caller_cannot_claim_to_be_a_second_attempt(gateway):
    stage = Stage(gateway)
    spoofed = replace(stage.request(), fields=(*stage.request().fields, ("X-Idemkey-Attempt", "7")))
    assert b'"attempt": 1' in gateway.send(spoofed).body
