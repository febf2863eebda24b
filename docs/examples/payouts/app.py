"""The payouts API: a Flask application behind the idempotency middleware."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import idemkey
from flask import Flask, Response, jsonify, request
from idemkey.wsgi import IdempotencyMiddleware
from ledger import Ledger
from observe import Observations

# As long as a call to a bank in the next room takes: long enough to be killed in.
BANK_CALL_S = (0.001, 0.006)
AFTERWORK_S = (0.0, 0.003)
# A duplicate sleeps so long for the first answer; longer would use up the threads.
WAIT_S = 0.25


def create_app(folder: Path, region: str) -> Flask:
    """Make the application. Called once, before gunicorn forks its workers (preload)."""
    app = Flask(__name__)
    ledger = Ledger(str(folder / "ledger.sqlite"))
    observations = Observations(folder)

    @app.get("/health")
    def health() -> str:
        return "ready"

    @app.post("/payouts")
    def create_payout() -> tuple[Response, int]:
        claim = request.environ["idemkey.claim"]
        operation = request.headers["Idempotency-Key"]
        amount_cents = request.get_json()["amount_cents"]
        with observations.handling():
            found = None
            if claim.reconcile:
                # A worker died at this operation. Only the ledger knows whether it had paid.
                found = ledger.find(operation)
            if found:
                payout_id = found.id
            else:
                time.sleep(random.uniform(*BANK_CALL_S))
                payout_id = ledger.pay(operation, amount_cents, claim.attempt)
                time.sleep(random.uniform(*AFTERWORK_S))
        answer = jsonify(
            payout_id=payout_id,
            amount_cents=amount_cents,
            attempt=claim.attempt,
            found_in_ledger=found is not None,
        )
        return answer, 201

    middleware = IdempotencyMiddleware(
        app.wsgi_app,
        idemkey.Store(region),
        profile="ietf",
        principal="Authorization",
        replay_marker="Idempotent-Replayed",
        wait=WAIT_S,
        observer=observations.decided,
    )
    app.wsgi_app = observations.timed(middleware)  # type: ignore[method-assign]
    return app


def from_environment() -> Flask:
    """Make the application that ``gunicorn.conf.py`` names."""
    return create_app(Path(os.environ["PAYOUTS_FOLDER"]), os.environ["PAYOUTS_REGION"])
