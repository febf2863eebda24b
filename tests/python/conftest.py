"""A store for each test, and children that never outlive it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import idemkey
import pytest
from children import Child
from hypothesis import configuration, settings

configuration.set_hypothesis_home_dir(Path(__file__).parents[2] / "build" / "hypothesis")
# Without a time limit for an example, as the machine may be busy.
settings.register_profile("idemkey", deadline=None, print_blob=True)
settings.load_profile("idemkey")

MAX_BYTES = 16 << 20


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "region.idem")


@pytest.fixture
def store(path):
    """A fresh store, whose every invariant must hold when the test is over."""
    store = idemkey.Store(path, max_bytes=MAX_BYTES)
    yield store
    if not store.closed:
        assert store.check()["violations"] == 0
        store.close()


@pytest.fixture
def fork():
    """``fork(fn)`` runs ``fn(say)`` in a child process: see `Child`."""
    children = []

    def start(fn):
        children.append(Child(fn))
        return children[-1]

    yield start
    for child in children:
        child.end()


@pytest.fixture
def rng():
    """Random numbers that IDEMKEY_SEED repeats."""
    seed = int(os.environ.get("IDEMKEY_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"IDEMKEY_SEED={seed}")
    return random.Random(seed)
