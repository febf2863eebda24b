"""Every scenario of tests/vectors, for each of its profiles, without a server."""

from __future__ import annotations

import pytest
from inprocess import InProcess
from inprocess_asgi import Asgi
from inprocess_wsgi import Wsgi
from player import Player, play_beside_each_other
from scene import Scene
from vectors import REFUSED, SLOW, played_on

TARGETS = [Wsgi, Asgi]


@pytest.mark.parametrize("kind", TARGETS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("scenario", played_on(InProcess.offers), ids=str)
def test_scenario(shared, scenes, kind, scenario):
    Player(shared(lambda _: kind(scenes), kind.name), scenario, scenes).play()


@pytest.mark.parametrize("kind", TARGETS, ids=lambda kind: kind.name)
def test_slow_scenarios(shared, scenes, kind):
    play_beside_each_other(shared(lambda _: kind(scenes), kind.name), SLOW, scenes)


@pytest.mark.parametrize("kind", TARGETS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("scenario", REFUSED, ids=str)
def test_configuration_is_refused(tmp_path, kind, scenario):
    scene = Scene.create(tmp_path, "refused", scenario.config)
    with pytest.raises((ValueError, TypeError)) as refusal:
        kind.build(scene)
    for word in scenario.refused:
        assert word in str(refusal.value), scenario.shows
