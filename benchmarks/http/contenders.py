"""What is timed: an application alone, behind idemkey, and behind its peers.

A contender serves one request for a key and returns its status. The application is the same for
all: it reads a JSON body and answers with a small one; WSGI and ASGI are called directly, so that
what a contender adds is its time less that of the application alone.
"""

from __future__ import annotations

import io
import json
import warnings
from typing import Any, Callable

import idemkey
import redis
import redis.asyncio
from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig, idempotent_function
from aws_lambda_powertools.utilities.idempotency.persistence.redis import (
    RedisCachePersistenceLayer,
)
from idemkey.asgi import IdempotencyMiddleware as ASGIIdempotency
from idemkey.wsgi import IdempotencyMiddleware as WSGIIdempotency
from idempotency_header_middleware import IdempotencyHeaderMiddleware
from idempotency_header_middleware.backends.memory import MemoryBackend
from idempotency_header_middleware.backends.redis import RedisBackend

BODY_BYTES = 1024
ANSWER = b'{"id": "payout_1234567890abcdef", "status": "accepted", "amount": 10000}'
ANSWER_HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(ANSWER)))]
TTL_S = 3600
CALLER = "Bearer ntca_0123456789abcdef"

Serve = Callable[[str], Any]


def body() -> bytes:
    """The request's body: a payout of BODY_BYTES bytes of JSON."""
    payout = {
        "account_id": "acc_abc123",
        "amount": 10000,
        "currency": "PHP",
        "recipient": {"name": "Juan", "bank": "BDO", "account_number": "001234567890"},
        "metadata": {"invoice": "INV-2024-001", "customer": "cust-789"},
        "notes": "",
    }
    payout["notes"] = "n" * (BODY_BYTES - len(json.dumps(payout)))
    return json.dumps(payout).encode()


BODY = body()


def wsgi_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """The application as WSGI."""
    environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("201 Created", ANSWER_HEADERS)
    return [ANSWER]


def call_wsgi(app: Any) -> Serve:
    """Serve by calling a WSGI application as a server does."""
    statuses: list[str] = []

    def start_response(status: str, _headers: Any, _exc_info: Any = None) -> None:
        statuses.append(status)

    def serve(key: str) -> str:
        environ = {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/v1/payouts",
            "RAW_URI": "/v1/payouts",
            "QUERY_STRING": "",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(BODY)),
            "HTTP_AUTHORIZATION": CALLER,
            "HTTP_IDEMPOTENCY_KEY": key,
            "HTTP_X_IDEMPOTENCY_KEY": key,
            "wsgi.input": io.BytesIO(BODY),
        }
        answer = app(environ, start_response)
        b"".join(answer)
        close = getattr(answer, "close", None)
        if close is not None:
            close()
        return statuses.pop()

    return serve


async def asgi_app(_scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The application as ASGI."""
    while (await receive()).get("more_body"):
        pass
    headers = [(name.encode(), value.encode()) for name, value in ANSWER_HEADERS]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


def call_asgi(app: Any) -> Serve:
    """Serve by calling an ASGI application as a server does."""
    request = {"type": "http.request", "body": BODY, "more_body": False}
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return request

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def serve(key: str) -> int:
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/payouts",
            "raw_path": b"/v1/payouts",
            "query_string": b"",
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(BODY)).encode()),
                (b"authorization", CALLER.encode()),
                (b"idempotency-key", key.encode()),
                (b"x-idempotency-key", key.encode()),
            ],
        }
        await app(scope, receive, send)
        return statuses.pop()

    return serve


def powertools_app(client: redis.Redis) -> Any:
    """The application whose work is a function that powertools makes idempotent, as in its guide.

    It is not told to compare payloads, which is to its advantage.
    """
    # It tells, at every call, that this is no AWS Lambda.
    warnings.filterwarnings("ignore", message="Couldn't determine the remaining time left")
    config = IdempotencyConfig(event_key_jmespath="key", expires_after_seconds=TTL_S)
    layer = RedisCachePersistenceLayer(client=client)

    @idempotent_function(data_keyword_argument="request", persistence_store=layer, config=config)
    def pay(request: dict[str, Any]) -> dict[str, Any]:
        return {"answer": ANSWER.decode(), "for": request["key"]}

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        taken = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        key = environ["HTTP_AUTHORIZATION"] + " " + environ["HTTP_IDEMPOTENCY_KEY"]
        made = pay(request={"key": key, "body": json.loads(taken)})
        start_response("201 Created", ANSWER_HEADERS)
        return [made["answer"].encode()]

    return app


OUR_PROFILES = ("stripe", "nextapi-v2")
WSGI_NAMES = ("bare", *(f"idemkey, {profile}" for profile in OUR_PROFILES), "powertools, Redis")


def wsgi_apps(store: idemkey.Store, redis_path: str) -> dict[str, Any]:
    """By the names of WSGI_NAMES; "bare" is the application alone."""
    client = redis.Redis(unix_socket_path=redis_path, decode_responses=True)
    ours = (
        WSGIIdempotency(wsgi_app, store, profile=profile, principal="Authorization")
        for profile in OUR_PROFILES
    )
    return dict(zip(WSGI_NAMES, (wsgi_app, *ours, powertools_app(client))))


def asgi_contenders(store: idemkey.Store, redis_path: str) -> dict[str, Serve]:
    """By name; "bare" is the application alone."""
    client = redis.asyncio.Redis(unix_socket_path=redis_path)
    apps = {
        "bare": asgi_app,
        "idemkey, stripe": ASGIIdempotency(
            asgi_app, store, profile="stripe", principal="Authorization"
        ),
        "asgi-idempotency-header, memory": IdempotencyHeaderMiddleware(asgi_app, MemoryBackend()),
        "asgi-idempotency-header, Redis": IdempotencyHeaderMiddleware(
            asgi_app, RedisBackend(client)
        ),
    }
    return {name: call_asgi(app) for name, app in apps.items()}
