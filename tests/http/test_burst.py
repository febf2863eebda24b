"""200 clients fire one key at once over 4 workers: one runs, whatever becomes of its worker."""

from __future__ import annotations

from collections import Counter

import pytest
from answers import Judge
from burst import Burst
from message import Request
from scene import Scene, eventually
from servers import KINDS, Server
from vectors import PROFILES, Scenario

CLIENTS = 200
LONG_S = 600  # waits that only an answer ends
SHORTEST_TIMEOUT_S = "1"  # of gunicorn's, in whole seconds


class Stage:
    """A scene of one profile, and the judge of its answers."""

    def __init__(self, scenes, name, profile, **overrides):
        config = {**PROFILES[profile]["config"], **overrides}
        self._scenario = Scenario(name, profile, "", None, frozenset(), config, [])
        self.scene = Scene.create(scenes, f"{name}-{profile}", config)
        self._judge = Judge(self._scenario, behind_server=True)

    def request(self, **handler):
        return Request.make(self._scenario, self.scene.name, {"handler": handler})

    def fire(self, server, **handler):
        return Burst(server.address, self.request(**handler), CLIENTS).fire()

    def count(self, answers):
        """How many answers there are of each kind; each replay is one of what ran here first."""
        kinds = [self._kind(answer) for answer in answers]
        for kind, answer in zip(kinds, answers):
            if kind == "run":
                self._judge.name("first", answer)
        for kind, answer in zip(kinds, answers):
            self._judge.check(kind, answer)
        return Counter(kinds)

    @staticmethod
    def _kind(answer):
        if answer.lost:
            return "lost"
        if answer.from_handler:
            return "replay" if answer.values("Cache-Control") else "run"
        return "busy" if answer.values("Retry-After") else "unknown"

    def retry(self, server):
        """The first answer that is not "in flight", nor lost with a worker."""

        def settled():
            answer = server.send(self.request())
            return None if answer.lost or answer.values("Retry-After") else answer

        return eventually(settled, "the key is settled")

    def take_as_first(self, answer):
        """The original never arrived: later replays are to be like this one."""
        self._judge.name("first", answer)

    def let_go(self):
        self.scene.let_go("first")

    def runs(self):
        return len(self.scene.runs())

    def close(self):
        store = self.scene.store()
        assert store.check()["violations"] == 0
        store.close()


@pytest.fixture
def stage(scenes, request):
    """``stage(profile, **overrides)``; the stores' invariants must hold when the test is over."""
    stages = []

    def make(profile, **overrides):
        name = request.node.name.replace("[", "-").replace("]", "")
        stages.append(Stage(scenes, f"{name}-{len(stages)}", profile, **overrides))
        return stages[-1]

    yield make
    for each in stages:
        each.close()


@pytest.fixture(params=KINDS)
def target(server, request):
    return server(request.param)


@pytest.mark.parametrize("profile", ["entities", "nextapi-v1", "noticia", "ietf", "stripe"])
def test_one_runs_and_the_others_are_told_that_it_does(target, stage, profile):
    """The handler ends when all others have their answer: none of them may be a replay."""
    scene = stage(profile)
    with scene.fire(target, block="first") as burst:
        assert scene.count(burst.answers(CLIENTS - 1)) == {"busy": CLIENTS - 1}
        scene.let_go()
        assert scene.count(burst.answers()) == {"run": 1}
    with scene.fire(target) as burst:
        assert scene.count(burst.answers()) == {"replay": CLIENTS}
    assert scene.runs() == 1


@pytest.mark.parametrize("profile", ["nextapi-v2", "ietf"])
def test_one_runs_and_the_others_wait_for_its_response(target, stage, profile):
    scene = stage(profile, wait=LONG_S, max_waiters=CLIENTS)
    with scene.fire(target) as burst:
        assert scene.count(burst.answers()) == {"run": 1, "replay": CLIENTS - 1}
    assert scene.runs() == 1


def test_the_worker_is_killed_and_a_waiting_duplicate_runs_again(target, stage):
    """Connections of the killed worker are lost, whoever waits on another takes over."""
    scene = stage("nextapi-v2", wait=LONG_S, max_waiters=CLIENTS)
    with scene.fire(target, fail="die", fail_in_run=1) as burst:
        first = scene.count(burst.answers())
    assert set(first) <= {"lost", "run", "replay"} and first["lost"] >= 1
    with scene.fire(target) as burst:
        again = scene.count(burst.answers())
    assert again["replay"] + again["run"] == CLIENTS
    assert first["run"] + again["run"] == 1
    assert scene.runs() == 2


def test_the_worker_is_killed_and_its_key_is_held(target, stage):
    scene = stage("nextapi-v2", wait=LONG_S, max_waiters=CLIENTS, on_crash="hold")
    with scene.fire(target, fail="die", fail_in_run=1) as burst:
        first = scene.count(burst.answers())
    assert set(first) <= {"lost", "unknown"} and first["lost"] >= 1
    with scene.fire(target) as burst:
        assert scene.count(burst.answers()) == {"unknown": CLIENTS}
    assert scene.runs() == 1


def test_the_running_client_leaves_and_its_operation_is_done_once(target, stage):
    scene = stage("noticia")
    with scene.fire(target, block="first") as burst:
        assert scene.count(burst.answers(CLIENTS - 1)) == {"busy": CLIENTS - 1}
        burst.leave()
    scene.let_go()
    scene.take_as_first(scene.retry(target))
    with scene.fire(target) as burst:
        assert scene.count(burst.answers()) == {"replay": CLIENTS}
    assert scene.runs() == 1


@pytest.mark.parametrize(
    ("on_crash", "after", "settled", "runs"),
    [("reclaim", "run", "replay", 2), ("hold", "unknown", "unknown", 1)],
)
def test_the_worker_times_out(timing_out, stage, on_crash, after, settled, runs):
    """gunicorn ends a worker that is silent for too long with a SystemExit in the handler.

    Where processors are busy, it ends others too: some answers may be lost with them.
    """
    scene = stage("stripe", on_crash=on_crash)
    with scene.fire(timing_out, block="first") as burst:
        first = scene.count(burst.answers())
    assert set(first) == {"busy", "lost"}
    scene.let_go()
    assert scene.count([scene.retry(timing_out)]) == {after: 1}
    with scene.fire(timing_out) as burst:
        again = scene.count(burst.answers())
    assert settled in again and set(again) <= {settled, "lost"}
    assert scene.runs() == runs
    assert timing_out.has_said("WORKER TIMEOUT")


@pytest.mark.parametrize(("kind", "options"), [("gunicorn-sync", ["--preload"]), ("uwsgi", [])])
def test_the_store_was_opened_before_the_fork(shared, scenes, stage, kind, options):
    """The middleware is made in the server's first process: its workers share what they inherit."""
    scene = stage("noticia")
    preloaded = scene.scene.name
    server = shared(lambda name: Server(kind, scenes, *options, preloaded=preloaded), preloaded)
    with scene.fire(server, block="first") as burst:
        assert scene.count(burst.answers(CLIENTS - 1)) == {"busy": CLIENTS - 1}
        scene.let_go()
        assert scene.count(burst.answers()) == {"run": 1}
    with scene.fire(server) as burst:
        assert scene.count(burst.answers()) == {"replay": CLIENTS}


@pytest.fixture(scope="module")
def timing_out(scenes):
    server = Server("gunicorn-sync", scenes, "--timeout", SHORTEST_TIMEOUT_S)
    yield server
    server.close()
