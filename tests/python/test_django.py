"""The Django middleware in front of real views, synchronous and asynchronous."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import types
from pathlib import Path

import django
import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path as route

URLS = "idemkey_test_urls"
MIDDLEWARE = ["idemkey.django.IdempotencyMiddleware"]
KEY = {"HTTP_IDEMPOTENCY_KEY": "k", "HTTP_AUTHORIZATION": "Bearer a"}
MAX_BYTES = 16 << 20

if not settings.configured:  # by other tests of this process
    settings.configure(SECRET_KEY="-")
    django.setup()

# Made only now: they read the settings.
from idemkey.django import IdempotencyMiddleware  # noqa: E402
from idemkey.django.apps import IdemkeyConfig  # noqa: E402
from idemkey.django.checks import check_settings  # noqa: E402
from idemkey.django.conf import default_engine, make_engine  # noqa: E402

runs = []
gate = {"inside": threading.Event(), "go_on": threading.Event()}


def echo(request):
    runs.append(request.idemkey and request.idemkey.attempt)
    response = JsonResponse({"runs": len(runs)}, status=int(request.GET.get("status", 201)))
    response["X-Made"] = "1"
    response.set_cookie("a", "b")
    for name, value in request.GET.items():
        if name.startswith("X-"):
            response[name] = value
    return response


def fails(request):
    runs.append(None)
    raise RuntimeError("broken")


def leaves(request):
    runs.append(request.idemkey.reconcile)
    if request.idemkey.attempt == 1:
        raise SystemExit
    return HttpResponse("reconciled")


def streams(request):
    runs.append(None)
    return StreamingHttpResponse(str(i) for i in range(int(request.GET["parts"])))


def breaks(request):
    runs.append(request.idemkey.attempt)

    def parts():
        yield "0"
        raise RuntimeError("broken")

    return StreamingHttpResponse(parts())


def slow(request):
    runs.append(None)
    gate["inside"].set()
    assert gate["go_on"].wait(60)
    return HttpResponse("slow")


async def echo_async(request):
    runs.append(request.idemkey and request.idemkey.attempt)
    await asyncio.sleep(0)
    return HttpResponse(f"async {len(runs)}", status=201)


async def streams_async(request):
    runs.append(None)

    async def parts():
        for i in range(int(request.GET["parts"])):
            yield str(i)

    return StreamingHttpResponse(parts())


async def slow_async(request):
    runs.append(None)
    inside, go_on = gate["async"]
    inside.set()
    await go_on.wait()
    return HttpResponse("slow")


urls = types.ModuleType(URLS)
urls.urlpatterns = [
    route(view.__name__, view)
    for view in (echo, fails, leaves, streams, breaks, slow, echo_async, streams_async, slow_async)
]
sys.modules[URLS] = urls


def configured(path, **more):
    store = {"path": path, "max_bytes": MAX_BYTES}
    return {"STORE": store, "PROFILE": "ietf", "PRINCIPAL": "Authorization", **more}


@pytest.fixture(autouse=True)
def site():
    """What all tests here are set up with, whoever has configured Django first."""
    with override_settings(ROOT_URLCONF=URLS, ALLOWED_HOSTS=["testserver"], MIDDLEWARE=MIDDLEWARE):
        yield


@pytest.fixture
def use(path):
    """``use(TTL=1, ...)`` sets IDEMKEY; what the store holds must be sound in the end."""
    runs.clear()
    changed = []

    def change(**more):
        changed.append(override_settings(IDEMKEY=configured(path, **more)))
        changed[-1].enable()
        return Client(raise_request_exception=False)

    yield change
    store = default_engine()._store
    assert store.check()["violations"] == 0
    for setting in reversed(changed):
        setting.disable()
    store.close()


def post(client, target="/echo", body="{}", **headers):
    return client.post(target, body, content_type="application/json", **{**KEY, **headers})


def test_a_request_runs_once(use):
    client = use(REPLAY_MARKER="Idempotent-Replayed")
    first, second = post(client), post(client)
    assert runs == [1]
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert "a" in first.cookies
    assert second["Idempotent-Replayed"] == "true"
    assert second["X-Made"] == "1"
    assert second["Content-Type"] == "application/json"
    assert "a" not in second.cookies


def test_without_a_key_or_with_get_nothing_changes(use):
    client = use()
    client.post("/echo", "{}", content_type="application/json")
    client.post("/echo", "{}", content_type="application/json")
    client.get("/echo", **KEY)
    assert runs == [None, None, None]


def test_another_payload_is_refused(use):
    client = use()
    post(client)
    refused = post(client, body="[]")
    assert refused.status_code == 422
    assert refused["Content-Type"] == "application/problem+json"
    assert runs == [1]


def test_callers_do_not_meet(use):
    client = use()
    post(client)
    post(client, HTTP_AUTHORIZATION="Bearer b")
    assert runs == [1, 1]


def test_a_function_tells_who_calls(use):
    client = use(PRINCIPAL=lambda request: request.headers.get("X-User"))
    post(client, HTTP_X_USER="a")
    post(client, HTTP_X_USER="b")
    post(client, HTTP_X_USER="a", HTTP_AUTHORIZATION="other")
    assert runs == [1, 1]
    assert post(client).status_code == 400


@pytest.mark.parametrize("target", ["/echo?status=503", "/fails", "/nowhere"])
def test_what_decides_nothing_is_given_back(use, target):
    client = use()
    first, second = post(client, target), post(client, target)
    assert first.status_code == second.status_code >= 400
    assert default_engine().counts["ietf"]["RELEASED"] == 2


def test_a_handler_knows_better(use):
    client = use()
    kept = post(client, "/echo?status=503&X-Idemkey-Keep=yes")
    assert "X-Idemkey-Keep" not in kept
    assert post(client, "/echo?status=503&X-Idemkey-Keep=yes").content == kept.content
    assert runs == [1]


def test_a_worker_that_exits_leaves_the_outcome_open(use):
    client = use()
    with pytest.raises(SystemExit):
        post(client, "/leaves")
    assert post(client, "/leaves").content == b"reconciled"
    assert runs == [False, True]


@pytest.mark.parametrize("view", ["streams", "streams_async"])
@pytest.mark.parametrize(("parts", "status"), [(5, 200), (30, 409)])
def test_streams(use, view, parts, status):
    client = use(MAX_RESPONSE=20)
    whole = "".join(map(str, range(parts))).encode()
    target = f"/{view}?parts={parts}"

    async def ask():
        async_client = AsyncClient()
        answers = []
        for _ in range(2):
            answer = await async_client.post(
                target,
                "{}",
                content_type="application/json",
                headers={"idempotency-key": "k", "authorization": "a"},
            )
            if answer.streaming:
                answers.append((answer, b"".join([part async for part in answer])))
            else:
                answers.append((answer, answer.content))
        return answers

    if view == "streams_async":
        (first, first_body), (second, second_body) = asyncio.run(ask())
    else:
        first, second = post(client, target), post(client, target)
        first_body = b"".join(first.streaming_content)
        second_body = second.content
    assert first_body == whole
    assert first.has_header("Idempotency-Stored") == (status == 409)
    assert second.status_code == status
    assert (second_body == whole) == (status == 200)
    assert runs == [None]


def test_a_body_that_breaks_gives_the_key_back(use):
    client = use()
    assert [post(client, "/breaks").status_code for _ in range(2)] == [500, 500]
    assert runs == [1, 1]


def test_a_duplicate_waits(use):
    client = use(WAIT=60)
    gate["inside"].clear()
    gate["go_on"].clear()
    answers = []
    first = threading.Thread(target=lambda: answers.append(post(client, "/slow")))
    first.start()
    assert gate["inside"].wait(60)
    second = threading.Thread(target=lambda: answers.append(post(Client(), "/slow")))
    second.start()
    while not default_engine().counts["ietf"].get("IN_FLIGHT"):
        threading.Event().wait(0.005)
    gate["go_on"].set()
    first.join(60)
    second.join(60)
    assert [answer.content for answer in answers] == [b"slow", b"slow"]
    assert runs == [None]


def test_asynchronous_views(use):
    use()

    async def ask():
        client = AsyncClient()
        headers = {"idempotency-key": "k", "authorization": "a"}
        return [
            await client.post("/echo_async", "{}", content_type="text/plain", headers=headers)
            for _ in range(2)
        ]

    first, second = asyncio.run(ask())
    assert runs == [1]
    assert first.content == second.content == b"async 1"


def test_a_client_that_leaves_does_not_cancel(use):
    use()

    async def ask():
        gate["async"] = inside, go_on = asyncio.Event(), asyncio.Event()
        client = AsyncClient()
        headers = {"idempotency-key": "k", "authorization": "a"}
        options = {"content_type": "text/plain", "headers": headers}
        first = asyncio.ensure_future(client.post("/slow_async", "{}", **options))
        await inside.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        go_on.set()
        while "KEPT" not in default_engine().counts["ietf"]:
            await asyncio.sleep(0.005)
        return await client.post("/slow_async", "{}", **options)

    assert asyncio.run(ask()).content == b"slow"
    assert runs == [None]


def test_a_workers_death_is_noticed(use, fork):
    client = use()

    def die(say):
        post(client, "/leaves")  # SystemExit: the child ends in it

    assert fork(die).wait() != 0
    assert post(client, "/leaves").content == b"reconciled"


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        (None, "STORE"),
        ({"PROFILE": "ietf"}, "STORE"),
        ({"STORE": "/nowhere/x.idem", "PRINCIPAL": None}, "/nowhere/x.idem"),
        ({"STORE": {"path": None}}, "principal"),
        ({"STORE": {"path": None}, "PRINCIPAL": None, "PROFILE": "nope"}, "nope"),
        ({"STORE": {"path": None}, "PRINCIPAL": None, "TTTL": 1}, "tttl"),
    ],
)
def test_a_wrong_setting_is_told(setting, told):
    with override_settings(IDEMKEY=setting):
        with pytest.raises(ImproperlyConfigured, match=told):
            default_engine()
        errors = [message for message in check_settings() if message.id == "idemkey.E001"]
        assert told in errors[0].msg


def test_the_order_of_middleware_is_checked(path):
    authentication = "django.contrib.auth.middleware.AuthenticationMiddleware"
    setting = configured(path, PRINCIPAL="os.path.basename")
    for order, found in (
        ([*MIDDLEWARE, authentication], ["idemkey.E002"]),
        ([authentication, *MIDDLEWARE], []),
        ([], ["idemkey.W001"]),
    ):
        with override_settings(IDEMKEY=setting, MIDDLEWARE=order):
            assert [message.id for message in check_settings()] == found
            default_engine()._store.close()


def test_the_documented_settings(path):
    page = (Path(__file__).resolve().parents[2] / "docs" / "http.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (block,) = (block for block in blocks if "IDEMKEY" in block)
    names = {}
    exec(block.replace("/dev/shm/payouts.idem", path), names)
    assert names["MIDDLEWARE"][-1] == MIDDLEWARE[0]
    engine = make_engine(names["IDEMKEY"])
    assert engine.counts == {"stripe": {}}
    engine._store.close()


def test_the_application_registers_the_checks():
    import idemkey.django
    from django.core.checks.registry import registry

    IdemkeyConfig("idemkey.django", idemkey.django).ready()
    assert check_settings in registry.get_checks()
    registry.registered_checks.discard(check_settings)
    assert IdempotencyMiddleware.sync_capable
    assert IdempotencyMiddleware.async_capable
