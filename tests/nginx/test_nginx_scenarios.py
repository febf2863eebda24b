"""Every scenario of tests/vectors that a gateway can play, over HTTP, on nginx."""

from __future__ import annotations

import pytest
from player import Player, play_beside_each_other
from vectors import SLOW, played_on

# A gateway sees a response when it is complete, and of an exception a response of 500.
OFFERS = {"workers", "chunked", "repeated-fields"}
PLAYED = [each for each in played_on(OFFERS) if "time" not in each.needs]
LEAVING = [each for each in PLAYED if each.case == 9]


@pytest.mark.parametrize("scenario", PLAYED, ids=str)
def test_scenario(gateway, scenario):
    Player(gateway, scenario, gateway.scenes).play()


def test_slow_scenarios(gateway):
    play_beside_each_other(gateway, SLOW, gateway.scenes)


def test_a_client_that_leaves_is_noticed_and_ends_nothing(watching_gateway):
    assert LEAVING
    play_beside_each_other(watching_gateway, LEAVING, watching_gateway.scenes)
