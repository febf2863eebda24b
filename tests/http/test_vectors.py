"""Every scenario of tests/vectors, for each of its profiles, without a server."""

from __future__ import annotations

import pytest
from inprocess_asgi import Asgi
from inprocess_django import Django, DjangoAsync
from inprocess_wsgi import Wsgi
from player import Player, play_beside_each_other
from scene import Scene
from vectors import REFUSED, SLOW, played_on

TARGETS = [Wsgi, Asgi, Django, DjangoAsync]
PLAYED = [(kind, scenario) for kind in TARGETS for scenario in played_on(kind.offers)]
ONE_BY_ONE = [each for each in SLOW if each.profile == "entities"]


def name_of(param):
    return getattr(param, "name", None) if isinstance(param, type) else str(param)


@pytest.fixture
def target(shared, scenes, kind):
    return shared(lambda _: kind(scenes), kind.name)


@pytest.mark.parametrize(("kind", "scenario"), PLAYED, ids=name_of)
def test_scenario(target, scenes, kind, scenario):
    Player(target, scenario, scenes).play()


@pytest.mark.parametrize("kind", [Wsgi, Asgi], ids=name_of)
def test_slow_scenarios(target, scenes, kind):
    play_beside_each_other(target, SLOW, scenes)


@pytest.mark.parametrize("kind", [Django, DjangoAsync], ids=name_of)
@pytest.mark.parametrize("scenario", ONE_BY_ONE, ids=str)
def test_slow_scenarios_of_one_setting(target, scenes, kind, scenario):
    Player(target, scenario, scenes).play()


@pytest.mark.parametrize("kind", [Wsgi, Asgi], ids=name_of)
@pytest.mark.parametrize("scenario", REFUSED, ids=str)
def test_configuration_is_refused(tmp_path, kind, scenario):
    scene = Scene.create(tmp_path, "refused", scenario.config)
    with pytest.raises((ValueError, TypeError)) as refusal:
        kind.build(scene)
    for word in scenario.refused:
        assert word in str(refusal.value), scenario.shows
