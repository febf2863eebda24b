"""An ASGI application that counts its runs, and requests to it without a server."""

from __future__ import annotations

import asyncio
import json

from idemkey.asgi import IdempotencyMiddleware


class App:
    """Answers in the given parts, and counts how often it is run."""

    def __init__(self, parts=(b"paid",), status=201, headers=(), failure=None):
        self.parts, self.status, self.headers = parts, status, [(b"x", b"1"), *headers]
        self.failure = failure
        self.claims, self.bodies, self.scopes = [], [], []

    @property
    def runs(self):
        return len(self.claims)

    async def __call__(self, scope, receive, send):
        claim = scope.get("idemkey.claim")
        self.claims.append(claim and (claim.outcome, claim.attempt, claim.reconcile))
        self.scopes.append(scope)
        self.bodies.append(await read(receive))
        await self.before(scope, receive)
        if self.failure:
            raise self.failure
        start = {"type": "http.response.start", "status": self.status, "headers": self.headers}
        await send(start)
        for part in self.parts[:-1]:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": self.parts[-1]})

    async def before(self, scope, receive):
        """What happens before it answers."""


async def read(receive):
    body, more = b"", True
    while more:
        message = await receive()
        assert message["type"] == "http.request"
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


class Client:
    """One request, as a server would bring it, and what comes back."""

    def __init__(self, app, body=b"{}", key=b"k-1", pieces=None, method="POST", **scope):
        headers = [(b"content-length", b"%d" % len(body))]
        if key is not None:
            headers.append((b"idempotency-key", key))
        self.app, self.sent, self.left = app, [], asyncio.Event()
        self.scope = {
            "type": "http", "method": method, "path": "/payouts", "raw_path": b"/payouts",
            "query_string": b"", "headers": headers, **scope,
        }  # fmt: skip
        pieces = [body] if pieces is None else pieces
        self.incoming = [
            {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
            for number, piece in enumerate(pieces, 1)
        ]

    async def receive(self):
        if self.incoming:
            return self.incoming.pop(0)
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message)

    async def call(self):
        await self.app(self.scope, self.receive, self.send)
        return self

    @property
    def status(self):
        return self.sent[0]["status"]

    @property
    def headers(self):
        return dict(self.sent[0]["headers"])

    @property
    def body(self):
        assert not self.sent[-1].get("more_body", False)
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def problem(self):
        assert self.headers[b"content-type"] == b"application/problem+json"
        return json.loads(self.body)["title"]

    @property
    def replayed(self):
        return self.headers.get(b"x-replayed") == b"true"


def wrap(app, store, **options):
    options = {"principal": None, "replay_marker": "X-Replayed", **options}
    return IdempotencyMiddleware(app, store, **options)


def request(app, *requests, **how):
    """Each request after the one before it; the answers, or the one."""

    async def all_of_them():
        return [await Client(app, **{**how, **each}).call() for each in requests or [{}]]

    answers = asyncio.run(all_of_them())
    return answers if requests else answers[0]
