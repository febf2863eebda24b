"""What an engine is made with: arguments, files, and the errors that name what is wrong."""

from __future__ import annotations

import json

import idemkey
import pytest
from idemkey.http import Engine

FIELDS = "idempotency-key: k\r\nx-caller: ann\r\n"


def reason(engine, fields=FIELDS, **request):
    """Why the engine decides as it does about a request."""
    request = {"method": "POST", "path": "/a", "query": "", **request}
    exchange = engine.begin(fields=fields, **request)
    return exchange.reason.name if exchange.status or exchange.action.name == "PASS" else "-"


def test_principal_must_be_given(store):
    for options in ({}, {"config": {"ttl": 60}}):
        with pytest.raises(TypeError, match=r"principal is missing.*Authorization"):
            Engine(store, **options)


def test_none_is_a_principal(store):
    assert reason(Engine(store, principal=None), "idempotency-key: k\r\n") == "-"


def test_a_header_is_a_principal(store):
    engine = Engine(store, principal="X-Caller")
    assert reason(engine) == "-"
    assert reason(engine, "idempotency-key: k\r\n") == "NO_PRINCIPAL"
    assert set(engine.wanted) == {"idempotency-key", "x-caller", "content-length"}


@pytest.mark.parametrize("answer", ["ann", "b\u00f6b \udcff", b"\xff\x00"])
def test_a_function_is_a_principal(store, answer):
    engine = Engine(store, principal=lambda request: request)
    assert engine.caller(answer) is answer
    assert reason(engine, principal=engine.caller(answer)) == "-"
    assert reason(engine, principal=engine.caller(None)) == "NO_PRINCIPAL"


def test_only_a_function_is_asked(store):
    assert Engine(store, principal=None).caller("request") is None


@pytest.mark.parametrize(
    "config", [{"principal": "@caller"}, {"principal": None, "routes": [{"match": "/a"}]}]
)
def test_a_caller_that_nobody_tells_is_refused(store, config):
    for route in config.get("routes", []):
        route["principal"] = "@caller"
    with pytest.raises(ValueError, match="must be a function"):
        Engine(store, config=config)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"profile": "nextapi-v3"}, ValueError, ["nextapi-v3", "nextapi-v1", "stripe"]),
        ({"tll": 60}, ValueError, ["tll", "is no field", "ttl"]),
        ({"ttl": 0}, ValueError, ["ttl is 0", "1 to", "forever"]),
        ({"ttl": float("nan")}, ValueError, ["number that is none"]),
        ({"wait": -1}, ValueError, ["wait is -1"]),
        ({"wait": idemkey.FOREVER}, ValueError, ["wait"]),
        ({"methods": "POST"}, ValueError, ["methods", "list"]),
        ({"methods": {"POST"}}, TypeError, ["set", "takes what JSON has"]),
        ({"on_crash": "explode"}, ValueError, ["on_crash", "reclaim", "hold"]),
        ({"principal": ""}, ValueError, ["principal"]),
        ({"principal": 7}, ValueError, ["principal is 7"]),
        ({"routes": [{"ttl": 7}]}, ValueError, ["routes[0]", "match"]),
        ({"routes": [{"match": "/a", "ttl": "x"}]}, ValueError, ["routes[0]", "/a", "ttl"]),
        ({"routes": [{"match": "/a", "principal": len}]}, TypeError, ["principal of all routes"]),
        ({"routes": 7}, TypeError, ["routes"]),
        ({"routes": {"match": "/a"}}, TypeError, ["routes"]),
        ({"observer": "print"}, TypeError, ["observer", "callable", "str"]),
        ({"config": 7}, TypeError, ["config", "mapping", "int"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_named(store, options, error, words):
    with pytest.raises(error) as raised:
        Engine(store, **{"principal": None, **options})
    assert [word for word in words if word not in str(raised.value)] == []


def test_a_store_is_a_store():
    with pytest.raises(TypeError, match=r"store must be an idemkey\.Store, not str"):
        Engine("/dev/shm/a.idem", principal=None)


def test_a_closed_store_is_refused(path):
    store = idemkey.Store(path)
    store.close()
    with pytest.raises(ValueError, match="closed"):
        Engine(store, principal=None)


CONFIG = {
    "profile": "stripe",
    "principal": "X-Caller",
    "wait": 2.5,
    "routes": [{"match": "POST /b/*", "required": True}],
}
TOML = """
profile = "stripe"
principal = "X-Caller"
wait = 2.5

[[routes]]
match = "POST /b/*"
required = true
"""


@pytest.fixture(params=["mapping", "toml", "json"])
def config(request, tmp_path):
    if request.param == "mapping":
        return CONFIG
    file = tmp_path / f"http.{request.param}"
    file.write_text(TOML if request.param == "toml" else json.dumps(CONFIG))
    return str(file) if request.param == "toml" else file


def test_a_configuration_may_be_a_mapping_or_a_file(store, config):
    engine = Engine(store, config=config)
    assert reason(engine) == "-"
    assert reason(engine, "") == "NO_KEY"
    assert reason(engine, "", path="/b/1") == "NO_KEY"
    assert engine.begin("POST", "/b/1", "", "").status == 400
    assert list(engine.counts) == ["stripe"]


def test_arguments_prevail_over_the_configuration(store, config):
    route = {"match": "/c", "profile": "ietf", "required": True}
    engine = Engine(store, config=config, profile="noticia", principal=None, routes=[route])
    assert reason(engine, "idempotency-key: k\r\n") == "-"
    assert engine.begin("POST", "/b/1", "", "").action.name == "PASS"
    assert engine.begin("POST", "/c", "", "").status == 400
    assert set(engine.counts) == {"noticia", "ietf"}


def test_what_was_given_is_left_as_it_was(store):
    before = json.dumps(CONFIG)
    Engine(store, config=CONFIG, principal=None, ttl=9)
    assert json.dumps(CONFIG) == before


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("http.ini", "", ["http.ini", ".toml, .json"]),
        ("http.toml", "a = ", ["http.toml", "can't be read"]),
        ("http.json", "{", ["http.json", "can't be read"]),
        ("http.json", "[]", ["http.json", "object", "list"]),
        ("http.toml", "a = 1\na = 2", ["http.toml", "can't be read"]),
        ("http.json", '{"principal": null, "ttl": 1, "ttl": 2}', ["http.json", "ttl", "twice"]),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_file_that_is_none_is_named(store, tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match="config") as raised:
        Engine(store, config=tmp_path / name)
    assert [word for word in words if word not in str(raised.value)] == []


def test_a_file_that_is_not_there_is_an_os_error(store, tmp_path):
    with pytest.raises(FileNotFoundError):
        Engine(store, config=tmp_path / "http.toml")


def test_for_ever_is_a_ttl(store):
    engine = Engine(store, principal=None, routes=[{"match": "/a", "ttl": idemkey.FOREVER}])
    for path, expires_in in (("/a", idemkey.FOREVER), ("/b", 86400.0)):
        exchange = engine.begin("POST", path, "", f"idempotency-key: k-{path[1:]}\r\n")
        exchange.decide()
        assert exchange.expires_in == expires_in
        exchange.abort(KeyError())
