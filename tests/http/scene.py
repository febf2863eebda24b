"""A scene: the folder in which one scenario is played, shared by the runner and the application.

``setting.json`` holds what the application must set up, ``region.idem`` is the store, ``runs`` has
a line for each execution of the handler, ``at-NAME`` says that the handler of request NAME has
come to where it waits, and ``go-NAME`` lets it go on. Files, so that worker processes share them.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import idemkey

# Only a hang takes so long, however busy the machine.
DEADLINE_S = 60.0
POLL_S = 0.003
MAX_BYTES = 1 << 20  # the least: soon filled
# A worker serves many scenes, a few at a time.
KEPT_SCENES = 16


def eventually(condition, what):
    """The first true value of ``condition()``, polled; fails at the deadline."""
    give_up_at = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < give_up_at, f"never happened: {what}"
        time.sleep(POLL_S)
    return value


@dataclass(frozen=True)
class Scene:
    folder: Path

    @classmethod
    def create(cls, root, name, config):
        scene = cls(Path(root) / name)
        scene.folder.mkdir(parents=True)
        (scene.folder / "setting.json").write_text(json.dumps(config))
        return scene

    @property
    def name(self):
        return self.folder.name

    @property
    def config(self):
        return json.loads((self.folder / "setting.json").read_text())

    @property
    def region(self):
        return self.folder / "region.idem"

    def store(self):
        return idemkey.Store(str(self.region), max_bytes=MAX_BYTES)

    def count_run(self):
        """Writes down one execution; its number, from 1."""
        with open(self.folder / "runs", "a") as runs:
            fcntl.flock(runs, fcntl.LOCK_EX)
            runs.write(f"{os.getpid()}\n")
            runs.flush()
            return len(self.runs())

    def runs(self):
        """The process of each execution."""
        try:
            return [int(line) for line in (self.folder / "runs").read_text().split()]
        except FileNotFoundError:
            return []

    def arrive(self, name):
        (self.folder / f"at-{name}").touch()

    def has_arrived(self, name):
        return (self.folder / f"at-{name}").exists()

    def let_go(self, name):
        (self.folder / f"go-{name}").touch()

    def may_go(self, name):
        return (self.folder / f"go-{name}").exists()


def served(build):
    """``find(name)``: what ``build(scene)`` made for the scene, in a server told by SCENES."""

    @lru_cache(KEPT_SCENES)
    def find(name):
        return build(Scene(Path(os.environ["SCENES"]) / name))

    return find
