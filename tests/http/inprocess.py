"""What targets without a server share."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path

from scene import KEPT_SCENES, Scene


class InProcess:
    """What the targets share: no worker that may die, no server that refuses anything first."""

    is_server = False
    offers = frozenset(
        {"one-process", "exit", "exceptions", "stream", "chunked", "repeated-fields"}
    )

    def __init__(self, root):
        self._building = threading.Lock()
        self._app = lru_cache(KEPT_SCENES)(lambda name: self.build(Scene(Path(root) / name)))

    def send(self, request):
        return self.exchange(request, None)

    def app_of(self, request):
        with self._building:
            return self._app(dict(request.fields)["X-Scene"])

    def close(self):
        self._app.cache_clear()
