"""The ASGI test application: as the WSGI one."""

from __future__ import annotations

import asyncio

from behaviour import Behaviour
from idemkey.asgi import IdempotencyMiddleware
from scene import POLL_S, served


async def handler(scene, scope, receive, send):
    """What is protected: counts its run, then does what the request says."""
    headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
    do = Behaviour.read(headers.get("x-do"))
    taken = await read(receive)
    run = scene.count_run()
    if do.block and not do.block_at:
        await wait(scene, do.block, receive)
    do.fail_now("early", run)
    scope["idemkey.unrouted"] = do.unrouted
    fields, body = do.answer(do.resource(run, scope["path"], taken, scope.get("idemkey.claim")))
    fields.append(("X-Handler", f"{scene.name}.{run}"))
    if scope["method"] == "HEAD":
        body = b""
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields]
    await send({"type": "http.response.start", "status": do.status, "headers": raw})
    for waits, piece in do.pieces(body):
        if waits:
            await wait(scene, do.block, receive)
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    do.fail_now("late", run)
    await send({"type": "http.response.body"})


async def read(receive):
    taken = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        taken += message.get("body", b"")
        if not message.get("more_body"):
            return taken


async def wait(scene, name, receive):
    """Waits, and gives up if it hears that the client has left, as many frameworks do."""
    scene.arrive(name)
    leaving = asyncio.ensure_future(receive())
    try:
        while True:
            released = scene.may_go(name)
            if leaving.done() and leaving.result()["type"] == "http.disconnect":
                raise asyncio.CancelledError
            if released:
                return
            await asyncio.sleep(POLL_S)
    finally:
        leaving.cancel()


def protected(scene):
    """The handler in the middleware."""

    async def app(scope, receive, send):
        await handler(scene, scope, receive, send)

    return IdempotencyMiddleware(app, scene.store(), **scene.config)


_served = served(protected)


async def application(scope, receive, send):
    """Serves the scene that the request names; for servers."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    name = dict(scope["headers"]).get(b"x-scene")
    if name is None:  # the server is asked whether it is up
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]}
        )
        await send({"type": "http.response.body"})
        return
    await _served(name.decode())(scope, receive, send)
