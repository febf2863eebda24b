"""A WSGI application that counts its runs, and requests to it without a server."""

from __future__ import annotations

import io
import json

from idemkey.wsgi import IdempotencyMiddleware


class App:
    """Answers what the test says, and counts how often it is run."""

    def __init__(self, body=b"paid", status="201 Created", headers=()):
        self.runs = 0
        self.closed = 0
        self.claims = []
        self.bodies = []
        self.lengths = []
        self.answer = (status, [("Content-Type", "text/plain"), *headers], body)

    def __call__(self, environ, start_response):
        self.runs += 1
        claim = environ.get("idemkey.claim")
        self.claims.append(claim and (claim.outcome, claim.attempt, claim.reconcile))
        self.bodies.append(environ["wsgi.input"].read())
        self.lengths.append(environ["CONTENT_LENGTH"])
        status, headers, body = self.answer
        if isinstance(body, BaseException):
            raise body
        start_response(status, list(headers))
        return Body(self, [body] if isinstance(body, bytes) else body)


class Body:
    def __init__(self, app, parts):
        self.app, self.parts = app, parts

    def __iter__(self):
        return iter(self.parts)

    def close(self):
        self.app.closed += 1


class Answer:
    def __init__(self, status, headers, body):
        self.code = int(status.split()[0])
        self.status, self.pairs, self.body = status, headers, body
        self.headers = dict(headers)

    @property
    def problem(self):
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.headers["Content-Length"] == str(len(self.body))
        assert self.headers["Cache-Control"] == "no-store"
        problem = json.loads(self.body)
        assert problem["status"] == self.code
        return problem["title"]

    @property
    def replayed(self):
        return self.headers.get("Idempotent-Replayed") == "true"


def send(app, key="k-1", body=b"{}", method="POST", path="/payouts", query="", **environ):
    """One request as a server would make it; reads the whole answer and closes it."""
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **environ,
    }
    if key is not None:
        environ["HTTP_IDEMPOTENCY_KEY"] = key
    sent = []

    def start_response(status, headers, _exc_info=None):
        sent[:] = [status, headers]
        return sent.append

    result = app(environ, start_response)
    try:
        data = b"".join(result)
    finally:
        if hasattr(result, "close"):
            result.close()
    return Answer(sent[0], sent[1], data)


def wrap(app, store, principal=None, replay_marker="Idempotent-Replayed", **options):
    options["replay_marker"] = replay_marker
    return IdempotencyMiddleware(app, store, principal=principal, **options)
