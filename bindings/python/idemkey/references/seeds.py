"""The rules of documented APIs, as data."""

from __future__ import annotations

from typing import Final

from .ids import hex_id, plain_id
from .rules import Rules

#: ``external_id``, unique within the account; a duplicate is an error.
NEXTAPI_V2: Final = Rules(
    "external_id",
    label="External ID",
    code="EXTERNAL_ID",
    ids={
        "merchant": plain_id("mer_"),
        "account": plain_id("acc_"),
        "payout_request": plain_id("pr_"),
        "payout": plain_id("pay_"),
        "payment_intent": plain_id("pi_"),
        "funding_method": plain_id("fm_"),
    },
    lookups={
        "payout_request": "/v2/payout-requests",
        "funding_method": "/v2/funding-methods/by-external-id/",
        "payment_intent": "/v2/payment-intents/by-external-id/",
    },
)

#: ``reference_id``, whose duplicate is a ``DUPLICATE_REFERENCE``; looked up one or many at a time.
NEXTAPI_V1: Final = Rules(
    "reference_id",
    pattern="[a-zA-Z0-9_-]{1,100}",
    many=True,
    ids={
        "payout": hex_id("payout_"),
        "wallet": hex_id("wallet_"),
        "payment_link": hex_id("plink_"),
        "transaction": hex_id("txn_"),
        "event": hex_id("evt_"),
    },
    lookups={"payout": "/v1/payouts"},
)

#: ``external_id``, on which profiles and stores are upserted, and sales events written once.
NOTICIA: Final = Rules("external_id", label="External ID", code="EXTERNAL_ID", enveloped=False)
