"""Ids of entities: made and validated as documented, and in full."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from idemkey.references import NEXTAPI_V1, NEXTAPI_V2, EntityId, InvalidIdError

V1 = ("payout_", "wallet_", "plink_", "txn_", "evt_")
V2 = ("mer_", "acc_", "pr_", "pay_", "pi_", "fm_")
V1_EXAMPLES = (
    "payout_1234567890abcdef",
    "wallet_abcdef1234567890",
    "plink_1234abcdef567890",
    "txn_5678901234abcdef",
    "evt_9012345678abcdef",
)
V2_EXAMPLES = ("mer_abc123", "acc_def456", "pr_ghi789", "pay_jkl012", "pi_mno345", "fm_pqr678")


@pytest.mark.parametrize(("rules", "prefixes"), [(NEXTAPI_V1, V1), (NEXTAPI_V2, V2)])
def test_prefixes(rules, prefixes):
    assert tuple(kind.prefix for kind in rules.ids.values()) == prefixes


@pytest.mark.parametrize(
    ("rules", "example"),
    [(NEXTAPI_V1, each) for each in V1_EXAMPLES] + [(NEXTAPI_V2, each) for each in V2_EXAMPLES],
)
def test_documented_examples(rules, example):
    matching = [kind for kind in rules.ids.values() if kind.matches(example)]
    assert [example.startswith(kind.prefix) for kind in matching] == [True]
    assert matching[0].check(example) == example


@pytest.mark.parametrize(
    "kind", [*NEXTAPI_V1.ids.values(), *NEXTAPI_V2.ids.values()], ids=lambda kind: kind.prefix
)
def test_new_ones(kind):
    made = {kind.new() for _ in range(1000)}
    assert len(made) == 1000
    assert all(kind.matches(each) for each in made)


def test_v1_has_16_to_24_hexadecimal_digits():
    payout = NEXTAPI_V1.ids["payout"]
    for digits in range(40):
        assert payout.matches("payout_" + "a" * digits) == (16 <= digits <= 24)
    assert re.fullmatch(r"payout_[a-f0-9]{16,24}", payout.new())
    assert 24 <= len(payout.new()) <= 32  # what the text asks for, too


@pytest.mark.parametrize(
    "value",
    [
        "payout_1234567890abcdeg",
        "payout_1234567890ABCDEF",
        "payout_1234567890abcdef\n",
        " payout_1234567890abcdef",
        "wallet_1234567890abcdef",
        "payout_",
        "",
        None,
        7,
        b"payout_1234567890abcdef",
    ],
)
def test_others_are_refused(value):
    payout = NEXTAPI_V1.ids["payout"]
    assert not payout.matches(value)
    with pytest.raises(InvalidIdError, match="payout_"):
        payout.check(value)


@given(st.text(max_size=80))
def test_v2_takes_letters_and_digits_only(text):
    plain = 1 <= len(text) <= 64 and text.isascii() and text.isalnum()
    assert NEXTAPI_V2.ids["merchant"].matches(f"mer_{text}") == plain


def test_an_alphabet_that_the_pattern_refuses():
    with pytest.raises(ValueError, match="do not match"):
        EntityId("x_", "[0-9]{8}", "abc", 8)
