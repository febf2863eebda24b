"""The rules of documented APIs: which references are valid, where they stand, what is answered."""

import json
import pickle
import re

import idemkey
import pytest
from hypothesis import given
from hypothesis import strategies as st
from idemkey import references
from idemkey.references import (
    NEXTAPI_V1,
    NEXTAPI_V2,
    NOTICIA,
    DuplicateReferenceError,
    InvalidReferenceError,
    Rules,
)

V1_REFERENCES = st.from_regex(r"[a-zA-Z0-9_-]{1,100}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=255)


class TestPatterns:
    @pytest.mark.parametrize(
        "reference", ["ORDER-2024-001", "CUST-789_PAYMENT-001", "a", "0", "-", "x" * 100]
    )
    def test_valid_of_v1(self, reference):
        assert NEXTAPI_V1.check(reference) == reference

    @pytest.mark.parametrize(
        "reference",
        ["", "payment@#$%", "a b", "x" * 101, "ORDER-1\n", "\nORDER-1", "ORDER-1\r", "ÖRDER", "٣"],
    )
    def test_invalid_of_v1(self, reference):
        with pytest.raises(InvalidReferenceError, match=r"reference_id is .* must match"):
            NEXTAPI_V1.check(reference)

    @given(st.text(max_size=120))
    def test_v1_is_its_documented_pattern_in_full(self, text):
        allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
        if 1 <= len(text) <= 100 and set(text) <= allowed:
            assert NEXTAPI_V1.check(text) == text
        else:
            with pytest.raises(InvalidReferenceError):
                NEXTAPI_V1.check(text)

    @pytest.mark.parametrize("rules", [NEXTAPI_V2, NOTICIA])
    def test_others_take_any_printable_text(self, rules):
        for valid in ("crm-customer-4815", "order 7/über", "☃" * 255):
            assert rules.check(valid) == valid
        for invalid in ("", "x" * 256, "order\n", "a\0", "a\x7f", "\ud800"):
            with pytest.raises(InvalidReferenceError, match="external_id is"):
                rules.check(invalid)

    @pytest.mark.parametrize("value", [None, 7, b"ORDER-1", ["ORDER-1"], True])
    def test_only_text(self, value):
        with pytest.raises(InvalidReferenceError, match=f"not {type(value).__name__}"):
            NEXTAPI_V1.check(value)

    def test_a_long_one_is_shown_in_part(self):
        with pytest.raises(InvalidReferenceError) as caught:
            NEXTAPI_V1.check("☃" * (1 << 20))
        assert len(str(caught.value)) < 500

    def test_a_bad_pattern_shows_at_once(self):
        with pytest.raises(re.error):
            Rules("order_id", pattern="[0-9")


class TestQueries:
    def test_one(self):
        assert NEXTAPI_V1.reference_ids("reference_id=ORDER-2024-001") == ["ORDER-2024-001"]
        assert NEXTAPI_V2.reference_ids("page=2&external_id=a%20b+c%2F%C3%BC") == ["a b c/ü"]

    def test_many(self):
        query = "reference_id[]=ORDER-2024-001&reference_id[]=ORDER-2024-002"
        assert NEXTAPI_V1.reference_ids(query) == ["ORDER-2024-001", "ORDER-2024-002"]
        assert NEXTAPI_V1.reference_ids(query.replace("[]", "%5b%5D").encode()) == [
            "ORDER-2024-001",
            "ORDER-2024-002",
        ]

    @pytest.mark.parametrize("query", ["", b"", "status=paid", "xreference_id=1", "&&", "page"])
    def test_none(self, query):
        assert NEXTAPI_V1.reference_ids(query) == []

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            ("reference_id=", "must match"),
            ("reference_id", "must match"),
            ("reference_id=a%0A", "must match"),
            ("reference_id[]=a&reference_id[]=", "must match"),
            ("reference_id=a&reference_id=b", r"2 times: write reference_id\[\]="),
            ("reference_id=a&reference_id[]=b&reference_id[]=c", "3 times"),
            ("&".join(["reference_id[]=a"] * 101), "101 times, at most 100"),
            ("reference_id=%FF", "not UTF-8"),
            (b"reference_id=\xff", "not UTF-8"),
        ],
    )
    def test_bad(self, query, message):
        with pytest.raises(InvalidReferenceError, match=message):
            NEXTAPI_V1.reference_ids(query)

    def test_many_only_where_documented(self):
        assert NEXTAPI_V2.reference_ids("external_id[]=a") == []
        with pytest.raises(InvalidReferenceError, match=r"2 times$"):
            NEXTAPI_V2.reference_ids("external_id=a&external_id=b")

    @given(st.lists(V1_REFERENCES, min_size=1, max_size=5))
    def test_round_trip(self, ids):
        path, _, query = NEXTAPI_V1.lookup_url("payout", *ids).partition("?")
        assert NEXTAPI_V1.looked_up(path, query) == ("payout", ids)

    @given(st.text(), st.binary())
    def test_any_query_is_read_or_refused(self, text, data):
        for query in (text, data, f"reference_id={text}", b"reference_id[]=" + data):
            try:
                ids = NEXTAPI_V1.reference_ids(query)
            except InvalidReferenceError:
                continue
            assert [NEXTAPI_V1.check(each) for each in ids] == ids


class TestPaths:
    @pytest.mark.parametrize(
        ("path", "query", "kind", "ids"),
        [
            ("/v2/payout-requests", "external_id=o-7", "payout_request", ["o-7"]),
            ("/v2/funding-methods/by-external-id/o-7", "", "funding_method", ["o-7"]),
            ("/v2/payment-intents/by-external-id/o-7", "", "payment_intent", ["o-7"]),
            (
                "/v2/payment-intents/by-external-id/a%2Fb%20%C3%BC+",
                "",
                "payment_intent",
                ["a/b ü+"],
            ),
        ],
    )
    def test_of_v2(self, path, query, kind, ids):
        assert NEXTAPI_V2.looked_up(path, query) == (kind, ids)

    @pytest.mark.parametrize(
        "path",
        [
            "/v2/payout-requests",
            "/v2/payout-requests/",
            "/v2/payout-requests/pr_ghi789",
            "/v2/payment-intents/by-external-id/",
            "/v2/payment-intents/by-external-id/a/b",
            "/v2/payment-intents",
            "/v2/wallets/by-external-id/a",
            "",
        ],
    )
    def test_others_are_no_lookups(self, path):
        assert NEXTAPI_V2.looked_up(path, "page=2") is None

    def test_of_v1(self):
        many = ("/v1/payouts", "reference_id[]=A&reference_id[]=B")
        assert NEXTAPI_V1.looked_up("/v1/payouts", "reference_id=A") == ("payout", ["A"])
        assert NEXTAPI_V1.looked_up(*many) == ("payout", ["A", "B"])

    @pytest.mark.parametrize("segment", ["%FF", "a%0A", "%00"])
    def test_a_bad_id_in_a_path(self, segment):
        with pytest.raises(InvalidReferenceError, match="external_id"):
            NEXTAPI_V2.looked_up(f"/v2/payment-intents/by-external-id/{segment}")

    @given(TEXTS)
    def test_round_trip(self, reference):
        for kind in NEXTAPI_V2.lookups:
            path, _, query = NEXTAPI_V2.lookup_url(kind, reference).partition("?")
            assert NEXTAPI_V2.looked_up(path, query) == (kind, [reference])

    def test_bad_urls(self):
        with pytest.raises(ValueError, match=r"kind is 'wallet' .*'payout'"):
            NEXTAPI_V1.lookup_url("wallet", "A")
        with pytest.raises(ValueError, match="0 ids"):
            NEXTAPI_V1.lookup_url("payout")
        for kind in ("payout_request", "payment_intent"):
            with pytest.raises(ValueError, match=r"2 ids .* takes one"):
                NEXTAPI_V2.lookup_url(kind, "A", "B")
        with pytest.raises(InvalidReferenceError):
            NEXTAPI_V1.lookup_url("payout", "A", "B\n")


class TestAnswers:
    def test_the_documented_duplicate_of_v1(self):
        answer = NEXTAPI_V1.answer(DuplicateReferenceError("ORDER-2024-001", "payout_123"))
        assert answer == (
            {
                "error": {
                    "code": "DUPLICATE_REFERENCE",
                    "message": "Reference ID already exists",
                    "existing_id": "payout_123",
                    "reference_id": "ORDER-2024-001",
                }
            },
            409,
            {},
        )

    def test_duplicates_of_v2_are_an_error_object(self):
        body, status, _ = NEXTAPI_V2.answer(DuplicateReferenceError("o-7", "pi_1"))
        assert status == 409
        assert {"code", "message"} <= set(body["error"])
        assert (body["error"]["external_id"], body["error"]["existing_id"]) == ("o-7", "pi_1")

    def test_noticias_code_stands_at_the_top(self):
        body, status, _ = NOTICIA.answer(InvalidReferenceError("bad", "external_id"))
        assert (status, body["code"]) == (400, "INVALID_EXTERNAL_ID")

    @pytest.mark.parametrize("rules", [NEXTAPI_V2, NEXTAPI_V1, NOTICIA])
    @pytest.mark.parametrize("kind", references.REFUSALS)
    def test_every_refusal_has_one(self, rules, kind):
        error = kind("a", "b") if issubclass(kind, DuplicateReferenceError) else None
        error = error or (
            kind("why", "f") if kind is InvalidReferenceError else kind("message", None)
        )
        answer = rules.answer(error)
        json.dumps(answer.body)
        assert answer.status == (400 if kind is InvalidReferenceError else 409)
        assert ("Retry-After" in answer.headers) == (kind is idemkey.BusyError)

    def test_nothing_else_has_one(self):
        with pytest.raises(TypeError, match="no answer for FullError"):
            NEXTAPI_V1.answer(idemkey.FullError("full"))

    def test_errors_pickle(self):
        error = pickle.loads(pickle.dumps(DuplicateReferenceError("ORDER-1", "payout_1")))
        assert (error.reference_id, error.existing_id) == ("ORDER-1", "payout_1")
        assert str(error) == "reference 'ORDER-1' belongs to payout_1"
        error = pickle.loads(pickle.dumps(InvalidReferenceError("bad", "external_id")))
        assert (str(error), error.field) == ("bad", "external_id")
