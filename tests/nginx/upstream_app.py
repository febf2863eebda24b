"""The test application behind the gateway: each scene's handler, which knows nothing of keys."""

from __future__ import annotations

from types import SimpleNamespace

from scene import served
from wsgi_app import handler

ATTEMPT = "HTTP_X_IDEMKEY_ATTEMPT"


def _unprotected(scene):
    def app(environ, start_response):
        attempt = environ.get(ATTEMPT)
        environ["idemkey.claim"] = attempt and SimpleNamespace(attempt=int(attempt))

        def start(status, fields):
            # A router of its own would have to say it so.
            unrouted = [("X-Idemkey-Keep", "no")] if environ["idemkey.unrouted"] else []
            return start_response(status, fields + unrouted)

        return handler(scene, environ, start)

    return app


_served = served(_unprotected)


def application(environ, start_response):
    """Serves the scene that the request names."""
    name = environ.get("HTTP_X_SCENE")
    if name is None:  # the server is asked whether it is up
        start_response("200 OK", [("Content-Length", "0")])
        return []
    return _served(name)(environ, start_response)
