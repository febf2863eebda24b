"""Every scenario of tests/vectors over HTTP, on each server: several workers, real clients."""

from __future__ import annotations

import pytest
from clients import Curl, Requests
from player import Player, play_beside_each_other
from servers import KINDS, OFFERS
from vectors import ALL, SLOW, played_on

# The whole set is played with httpx; these with each client, each for another profile.
CORE = [
    "callers-do-not-share-keys",
    "another-body-or-query-is-another-request",
    "replay-is-the-original-response",
    "replay-is-exact-to-the-byte",
    "decisions-are-kept",
    "race-has-one-winner",
    "large-request-is-refused",
    "safe-methods-pass",
    "duplicate-in-flight-is-told-when-to-retry",
]
CORE_PAIRS = {(name, ALL[number % len(ALL)]) for number, name in enumerate(CORE)}
PLAYED = [(kind, scenario) for kind in KINDS for scenario in played_on(OFFERS[kind])]


@pytest.mark.parametrize(("kind", "scenario"), PLAYED, ids=str)
def test_scenario(server, scenes, kind, scenario):
    Player(server(kind), scenario, scenes).play()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("client", [Curl, Requests], ids=lambda client: client.name)
def test_client(server, scenes, kind, client):
    target = server(kind).spoken_to_by(client)
    core = [each for each in played_on(OFFERS[kind]) if (each.name, each.profile) in CORE_PAIRS]
    assert len(core) == len(CORE)
    for scenario in core:
        Player(target, scenario, scenes).play()
    target.client.close()


@pytest.mark.parametrize("kind", KINDS)
def test_slow_scenarios(server, scenes, kind):
    play_beside_each_other(server(kind), SLOW, scenes)


@pytest.fixture(autouse=True)
def logged(server, kind):
    """If a test fails, what the server said stands with it."""
    yield
    print(server(kind).log())
