"""Keys of webhooks: which deliveries are of one event, and which are refused."""

import contextlib
import json
import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from idemkey import webhooks
from idemkey.joining import joined_key
from idemkey.webhooks import EmptyKeyError, MissingIdWarning, fields_key, nextsign_key

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)

# The payload as JSON, and the key that the documented function of JavaScript gives (run by Node).
WITH_ID = [
    ('{"trigger":"signed","case":{"_id":"65f","updatedAt":"2024-05-01"}}', "signed:65f:2024-05-01"),
    ('{"trigger":"t","flow":{"_id":"f","updatedAt":"u"}}', "t:f:u"),
    ('{"trigger":"t","case":{"_id":"c"},"flow":{"_id":"f","updatedAt":"u"}}', "t:c"),
    ('{"trigger":"t","case":null,"flow":{"_id":"f"}}', "t:f"),
    ('{"trigger":"t","case":"","flow":{"_id":"f"}}', "t:f"),
    ('{"trigger":"t","case":0,"flow":{"_id":"f"}}', "t:f"),
    ('{"trigger":"t","case":false,"flow":{"_id":"f"}}', "t:f"),
    ('{"trigger":"","case":{"_id":"c","updatedAt":"u"}}', "c:u"),
    ('{"trigger":null,"case":{"_id":"c","updatedAt":0}}', "c"),
    ('{"trigger":false,"case":{"_id":"c","updatedAt":-0.0}}', "c"),
    ('{"trigger":"0","case":{"_id":"0","updatedAt":" "}}', "0:0: "),
    ('{"trigger":true,"case":{"_id":7,"updatedAt":1714521600000}}', "true:7:1714521600000"),
    ('{"trigger":"t","case":{"_id":1.0,"updatedAt":-1.50}}', "t:1:-1.5"),
    ('{"trigger":"t","case":{"_id":9007199254740993,"updatedAt":1}}', "t:9007199254740992:1"),
    ('{"trigger":1e400,"case":{"_id":-1e400}}', "Infinity:-Infinity"),
    ('{"trigger":1e-400,"case":{"_id":"c"}}', "c"),
    ('{"trigger":123456789012345680000,"case":{"_id":1e21}}', "123456789012345680000:1e+21"),
    ('{"trigger":0.000001,"case":{"_id":1.5e-7}}', "0.000001:1.5e-7"),
    ('{"trigger":5e-324,"case":{"_id":1.7976931348623157e308}}', "5e-324:1.7976931348623157e+308"),
    ('{"trigger":"t","case":{"_id":{},"updatedAt":[]}}', "t:[object Object]:"),
    ('{"trigger":[1,[null,"a"],true,{}],"case":{"_id":"c"}}', "1,,a,true,[object Object]:c"),
    ('{"trigger":"a:b","case":{"_id":"c"}}', "a:b:c"),
]
WITHOUT_ID = [
    ('{"trigger":"t"}', "t"),
    ('{"trigger":"t","case":{},"flow":{"_id":"f"}}', "t"),
    ('{"trigger":"t","case":[],"flow":{"_id":"f"}}', "t"),
    ('{"trigger":"t","case":"c","flow":{"_id":"f"}}', "t"),
    ('{"trigger":"t","case":7,"flow":{"_id":"f"}}', "t"),
    ('{"trigger":"t","case":true,"flow":{"_id":"f"}}', "t"),
    ('{"trigger":"t","case":{"_id":"","updatedAt":"u"}}', "t:u"),
    ('{"trigger":"t","case":{"_id":null,"updatedAt":"u"}}', "t:u"),
    ('{"case":{"updatedAt":"u"}}', "u"),
]
EMPTY = [
    "{}",
    '{"trigger":""}',
    '{"trigger":0,"case":{"_id":false,"updatedAt":null}}',
    '{"trigger":[],"flow":{}}',
    '{"_id":"c","updatedAt":"u"}',
]


class TestNextsign:
    @pytest.mark.parametrize(("payload", "key"), WITH_ID)
    def test_as_javascript_makes_it(self, payload, key):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert nextsign_key(json.loads(payload)) == key

    @pytest.mark.parametrize(("payload", "key"), WITHOUT_ID)
    def test_a_missing_id_is_warned_of(self, payload, key):
        with pytest.warns(MissingIdWarning, match=f"_id.*{key}") as caught:
            assert nextsign_key(json.loads(payload)) == key
        assert caught[0].filename == __file__

    @pytest.mark.parametrize("payload", EMPTY)
    def test_an_empty_key_is_an_error(self, payload):
        with pytest.raises(EmptyKeyError, match="no trigger"):
            nextsign_key(json.loads(payload))
        assert issubclass(EmptyKeyError, ValueError)

    def test_not_a_number_is_nothing(self):
        nan = float("nan")
        assert nextsign_key({"trigger": nan, "case": {"_id": [nan], "updatedAt": nan}}) == "NaN"

    def test_what_javascript_cannot_join_either(self):
        with pytest.raises(TypeError, match="can't join"):
            nextsign_key({"trigger": {"toString": 1}, "case": {"_id": "c"}})

    @pytest.mark.parametrize("payload", [None, [], "signed", 7])
    def test_a_payload_that_is_no_mapping(self, payload):
        with pytest.raises(TypeError, match=f"payload .*{type(payload).__name__}"):
            nextsign_key(payload)

    def test_the_handlers_other_arguments_do_not_count(self):
        payload = {"trigger": "t", "case": {"_id": "c"}}
        assert nextsign_key(payload, {"Host": "h"}, retries=3) == "t:c"

    @given(number=st.floats(allow_nan=False, allow_infinity=False) | st.integers())
    def test_numbers_are_written_shortest_and_back(self, number):
        key = nextsign_key({"trigger": "t", "case": {"_id": [number]}})
        text = key[len("t:") :]
        assert float(text) == float(number)
        plain = r"-?(0|[1-9]\d{0,20})(\.\d*[1-9])?"
        scientific = r"-?[1-9](\.\d*[1-9])?e[+-][1-9]\d*"
        assert re.fullmatch(f"{plain}|{scientific}", text)
        assert ("e" in text) == (number != 0 and not 1e-6 <= abs(float(number)) < 1e21)

    @given(trigger=JSON, case=JSON, identity=JSON, updated=JSON)
    def test_whatever_comes_is_a_key_or_refused(self, trigger, case, identity, updated):
        entities = ({"case": case}, {"flow": {"_id": identity, "updatedAt": updated}})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MissingIdWarning)
            for payload in ({"trigger": trigger, **entities[0], **entities[1]}, *entities):
                with contextlib.suppress(EmptyKeyError):
                    key = nextsign_key(payload)
                    assert key
                    assert key == nextsign_key(json.loads(json.dumps(payload)))


class TestFields:
    def test_paths(self):
        payload = {"type": "paid", "data": {"id": 7, "tags": ["a"]}, "a.b": 1}
        assert fields_key("type", "data.id")(payload) == '["paid",7]'
        assert fields_key("data.tags")(payload) == '[["a"]]'
        assert fields_key("type")(payload, {"Host": "h"}, retries=3) == '["paid"]'

    @pytest.mark.parametrize("value", [0, False, [], {}])
    def test_what_is_there_counts(self, value):
        assert json.loads(fields_key("id")({"id": value})) == [value]

    @pytest.mark.parametrize("payload", [{}, {"a": None}, {"a": {"b": None}}, {"a": {"b": ""}}, []])
    def test_what_is_missing_is_named(self, payload):
        with pytest.raises(EmptyKeyError, match=r"no a\.b,"):
            fields_key("a.b")(payload)

    @given(st.lists(JSON, min_size=2, max_size=2), st.lists(JSON, min_size=2, max_size=2))
    def test_different_values_give_different_keys(self, one, two):
        def key(values):
            return fields_key("0", "1")({str(i): [value] for i, value in enumerate(values)})

        same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
        assert (key(one) == key(two)) == same

    def test_parts_do_not_run_together(self):
        key = fields_key("a", "b")
        assert key({"a": 'x","y', "b": "z"}) != key({"a": "x", "b": 'y","z'})
        assert key({"a": "1", "b": 1}) != key({"a": 1, "b": "1"})

    @pytest.mark.parametrize("paths", [(), ("",), ("a..b",), (".a",), ("a.",)])
    def test_bad_paths(self, paths):
        with pytest.raises(ValueError, match="path"):
            fields_key(*paths)
        with pytest.raises(TypeError, match="path must be a str, not int"):
            fields_key(7)


class TestEventId:
    def test_in_the_payload(self):
        assert webhooks.event_id_key("id")({"id": "evt_1"}) == "evt_1"
        assert webhooks.event_id_key("event.id")({"event": {"id": 0}}) == "0"

    @pytest.mark.parametrize("payload", [{}, {"id": ""}, {"id": None}, None])
    def test_missing(self, payload):
        with pytest.raises(EmptyKeyError, match="no id,"):
            webhooks.event_id_key("id")(payload)

    @pytest.mark.parametrize("value", [True, 1.5, [], {}])
    def test_of_a_wrong_type(self, value):
        with pytest.raises(TypeError, match=f"'id' must be .*{type(value).__name__}"):
            webhooks.event_id_key("id")({"id": value})

    def test_in_a_header(self):
        key = webhooks.header_key("Webhook-Id")
        assert key({}, {"Host": "h", "webhook-ID": "msg_1"}) == "msg_1"
        assert key({}, headers={"Webhook-Id": "msg_1", "webhook-id": "msg_1"}) == "msg_1"

    def test_in_no_header_or_several(self):
        key = webhooks.header_key("Webhook-Id")
        for headers in ({}, {"Webhook-Id": ""}, {"Webhook-Idx": "msg_1"}):
            with pytest.raises(EmptyKeyError, match="Webhook-Id"):
                key({}, headers)
        with pytest.raises(ValueError, match="2 different headers Webhook-Id"):
            key({}, {"Webhook-Id": "msg_1", "webhook-id": "msg_2"})
        with pytest.raises(TypeError, match="headers must be a mapping, not list"):
            key({}, [("Webhook-Id", "msg_1")])
        with pytest.raises(ValueError, match="name is empty"):
            webhooks.header_key("")


PARTS = st.lists(st.text(st.characters(exclude_categories=())) | st.binary(), max_size=4)


class TestJoining:
    @given(PARTS, PARTS)
    def test_different_parts_give_different_keys(self, one, two):
        def plain(parts):
            return [
                p if isinstance(p, bytes) else p.encode("utf-8", "surrogatepass") for p in parts
            ]

        assert (joined_key(*one) == joined_key(*two)) == (plain(one) == plain(two))

    def test_digits_are_no_lengths(self):
        assert joined_key("1:a", "b") != joined_key("1:a,1:b") != joined_key("1", "a", "b")

    def test_long_keys_are_hashed(self):
        long = [
            joined_key("a" * 2000, "b"),
            joined_key("a" * 2001, "b"),
            joined_key("a", "b" * 2000),
        ]
        assert len(set(long)) == 3
        assert all(key.startswith(b"blake2b:") and len(key) <= 1024 for key in long)
        assert len(joined_key("a" * 1018)) == 1024
        assert joined_key("a" * 1019).startswith(b"blake2b:")
