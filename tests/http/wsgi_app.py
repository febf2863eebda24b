"""The WSGI test application: each scene's handler in the middleware as the scene configures it."""

from __future__ import annotations

import os
import time
from http import HTTPStatus

from behaviour import Behaviour
from idemkey.wsgi import IdempotencyMiddleware
from scene import POLL_S, served


def handler(scene, environ, start_response):
    """What is protected: counts its run, then does what the request says."""
    do = Behaviour.read(environ.get("HTTP_X_DO"))
    taken = environ["wsgi.input"].read()
    run = scene.count_run()
    if do.block and not do.block_at:
        wait(scene, do.block)
    do.fail_now("early", run)
    environ["idemkey.unrouted"] = do.unrouted
    resource = do.resource(run, environ["PATH_INFO"], taken, environ.get("idemkey.claim"))
    fields, body = do.answer(resource)
    fields.append(("X-Handler", f"{scene.name}.{run}"))
    if environ["REQUEST_METHOD"] == "HEAD":
        body = b""
    start_response(f"{do.status} {HTTPStatus(do.status).phrase}", fields)
    return pieces(scene, do, run, body)


def pieces(scene, do, run, body):
    for waits, piece in do.pieces(body):
        if waits:
            wait(scene, do.block)
        yield piece
    do.fail_now("late", run)


def wait(scene, name):
    scene.arrive(name)
    while not scene.may_go(name):
        time.sleep(POLL_S)


def protected(scene):
    """The handler in the middleware."""
    return IdempotencyMiddleware(
        lambda environ, start_response: handler(scene, environ, start_response),
        scene.store(),
        **scene.config,
    )


_served = served(protected)
for _name in os.environ.get("PRELOADED", "").split():
    _served(_name)  # before the server forks


def application(environ, start_response):
    """Serves the scene that the request names; for servers."""
    name = environ.get("HTTP_X_SCENE")
    if name is None:  # the server is asked whether it is up
        start_response("200 OK", [("Content-Length", "0")])
        return []
    return _served(name)(environ, start_response)
