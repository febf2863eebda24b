"""Targets that all tests of this folder share."""

from __future__ import annotations

import pytest
from servers import Server


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """The folder of all scenes, each in one of its own."""
    return tmp_path_factory.mktemp("scenes")


@pytest.fixture(scope="session")
def shared():
    """``shared(make, name)``: what ``make(name)`` gave when first asked; closed at the end."""
    made = {}

    def find(make, name):
        if name not in made:
            made[name] = make(name)
        return made[name]

    yield find
    for each in made.values():
        each.close()


@pytest.fixture(scope="session")
def server(shared, scenes):
    """``server(kind)``: the running server of that kind."""
    return lambda kind: shared(lambda name: Server(name, scenes), kind)
