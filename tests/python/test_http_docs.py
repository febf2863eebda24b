"""docs/http.md: its examples run, and its tables leave nothing out."""

from __future__ import annotations

import re
from pathlib import Path

import flask
import idemkey
import pytest
from idemkey.http import Engine, Reason
from web import App, send

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "http.md").read_text()
STORE = '"/dev/shm/payouts.idem"'
FILE = '"idempotency.toml"'


def example(containing, language="python"):
    """The page's one block of code that contains the text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    (block,) = (block for block in blocks if containing in block)
    return block


@pytest.fixture
def payouts(path):
    """The first example's middleware, around a counting application."""
    names = {"app": App()}
    first = example("idemkey.Store")
    assert STORE in first
    exec(first.replace(STORE, repr(path)), names)
    yield names
    names["store"].check()
    names["store"].close()


def test_the_first_example(payouts):
    headers = {"HTTP_AUTHORIZATION": "Bearer ann"}
    answers = [send(payouts["app"], **headers) for _ in range(2)]
    assert [answer.replayed for answer in answers] == [False, True]
    assert payouts["app"].engine.counts == {"stripe": {"FIRST": 1, "RECORDED": 1, "KEPT": 1}}


def test_the_handlers_example(store):
    paid, found = [], {}

    def pay(operation, amount):
        if amount == 0:
            found[operation] = "payout_0"
            raise SystemExit  # its worker is ended between the effect and the answer
        paid.append(amount)
        return f"payout_{len(paid)}"

    app = flask.Flask(__name__)
    names = {"app": app, "request": flask.request, "pay": pay, "find_payout": found.get}
    exec(example("claim.reconcile"), names)
    wsgi = idemkey.wsgi.IdempotencyMiddleware(app.wsgi_app, store, principal=None)

    def post(key, amount):
        app.wsgi_app = wsgi
        headers = {"Idempotency-Key": key}
        return app.test_client().post("/payouts", json={"amount": amount}, headers=headers).json

    assert [post("a", 7), post("a", 7)] == [{"payout": "payout_1"}] * 2
    with pytest.raises(SystemExit):
        post("b", 0)
    assert post("b", 0) == {"payout": "payout_0"}
    assert paid == [7]


def test_the_configurations_example(store, tmp_path):
    file = tmp_path / "idempotency.toml"
    file.write_text(example("[[routes]]", "toml"))
    names = {"app": App(), "store": store, "IdempotencyMiddleware": None}
    names["IdempotencyMiddleware"] = idemkey.wsgi.IdempotencyMiddleware
    exec(example(FILE).replace(FILE, repr(str(file))), names)
    app = names["app"]
    headers = {"HTTP_AUTHORIZATION": "Bearer ann"}
    for path in ("/v1/payouts/7", "/v1/payouts", "/internal/a", "/internal"):
        send(app, path=path, **headers), send(app, path=path, **headers)
    assert app.engine.counts["nextapi-v1"] == {
        "FIRST": 2,
        "RECORDED": 2,
        "KEPT": 2,
        "NOT_APPLICABLE": 4,
    }


def table(title):
    """What stands in code in the first column of the table below a heading or text."""
    rows = PAGE.split(title, 1)[1].split("\n\n")
    (found,) = (part for part in rows[:3] if part.startswith("|"))
    return {
        word for row in found.splitlines() for word in re.findall("`([^`]+)`", row.split("|")[1])
    }


def test_every_field_is_told(store):
    with pytest.raises(ValueError, match="is no field; there are ") as raised:
        Engine(store, principal=None, nonsense=1)
    names = set(str(raised.value).split("there are ")[1].split(", "))
    assert table("what is allowed.") == names - {"profile", "routes"}


def test_every_reason_is_told():
    assert table("shows them as they are.") == {
        reason.name for reason in Reason if reason is not Reason.NO_REASON
    }
