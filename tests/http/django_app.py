"""The Django test application: as the WSGI one, with a view for each kind of server.

Django has one setting for all, so that one scene at a time can be played.
"""

from __future__ import annotations

import asyncio

import asgi_app
import django
import wsgi_app
from behaviour import Behaviour
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import re_path
from scene import MAX_BYTES

if not settings.configured:
    settings.configure(SECRET_KEY="-")
    django.setup()

_overrides = []


def view(request):
    scene, do, run = begin(request)
    if do.block and not do.block_at:
        wsgi_app.wait(scene, do.block)
    return respond(request, scene, do, run, wsgi_app.pieces)


async def aview(request):
    scene, do, run = begin(request)
    if do.block and not do.block_at:
        await asgi_app.wait(scene, do.block, never)
    return respond(request, scene, do, run, apieces)


async def apieces(scene, do, run, body):
    for waits, piece in do.pieces(body):
        if waits:
            await asgi_app.wait(scene, do.block, never)
        yield piece
    do.fail_now("late", run)


async def never():
    """A client that stays: views are not told."""
    await asyncio.Event().wait()


def begin(request):
    scene = settings.SCENE
    return scene, Behaviour.read(request.headers.get("X-Do")), scene.count_run()


def respond(request, scene, do, run, pieces):
    do.fail_now("early", run)
    if do.unrouted:
        request.resolver_match = None  # as it is where no route matches
    fields, body = do.answer(do.resource(run, request.path, request.body, request.idemkey))
    if request.method == "HEAD":
        response = HttpResponse(status=do.status)
    elif do.size or do.fail:
        response = StreamingHttpResponse(pieces(scene, do, run, body), status=do.status)
    else:
        response = HttpResponse(body, status=do.status)
    for name, value in [*fields, ("X-Handler", f"{scene.name}.{run}")]:
        response[name] = value
    return response


def _set_up(scene, a_view):
    forget()
    _overrides.append(
        override_settings(
            ALLOWED_HOSTS=["*"],
            MIDDLEWARE=["idemkey.django.IdempotencyMiddleware"],
            ROOT_URLCONF=(re_path("", a_view),),
            SCENE=scene,
            IDEMKEY={
                "STORE": {"path": scene.region, "max_bytes": MAX_BYTES},
                **{name.upper(): value for name, value in scene.config.items()},
            },
        )
    )
    _overrides[-1].enable()


def protected(scene):
    """The view in the middleware, as a WSGI application."""
    _set_up(scene, view)
    return WSGIHandler()


def aprotected(scene):
    """The view in the middleware, as an ASGI application."""
    _set_up(scene, aview)
    return ASGIHandler()


def forget():
    """Leaves no setting behind."""
    while _overrides:
        _overrides.pop().disable()
