"""What is stored of requests and answers: round trips, limits, secrets; and bad arguments."""

import idemkey
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from idemkey import State
from idemkey.client import Answer, Caller, LostReplyError, RetriesExhaustedError, Retry
from idemkey.client.codec import VERSION, pack, unpack
from idemkey.client.intents import Intent
from idemkey.client.messages import keep, kept_answer
from idemkey.client.redaction import MASK, is_secret, public_headers, public_url
from scripted import CREATED, URL, Async, Script, Sync

names = st.from_regex(r"[A-Za-z0-9-]{1,20}", fullmatch=True)
headers = st.lists(st.tuples(names, st.text(max_size=20))).map(tuple)
LARGEST = 1 << 10


@pytest.fixture
def small(path):
    """A store that keeps values of a KiB."""
    with idemkey.Store(path, max_bytes=1 << 20, max_value_bytes=LARGEST) as store:
        yield store
        assert store.check()["violations"] == 0


@pytest.fixture(params=[Sync, Async])
def make(request):
    return request.param


class TestCodec:
    @given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()), st.binary())
    def test_a_round_trip(self, head, body):
        assume("version" not in head)
        found, found_body = unpack("intent", pack("intent", {"head": head}, body))
        assert (found["head"], found_body) == (head, body)

    @given(st.binary())
    def test_anything_else_is_refused(self, data):
        with pytest.raises(idemkey.CorruptError, match="no answer that"):
            unpack("answer", data)

    def test_one_kind_is_not_the_other(self):
        with pytest.raises(idemkey.CorruptError):
            unpack("answer", pack("intent", {}, b""))

    def test_a_newer_version_is_refused(self):
        line = pack("answer", {}, b"").replace(
            b'client":%d' % VERSION, b'client":%d' % (VERSION + 1)
        )
        with pytest.raises(idemkey.VersionError, match=f"version {VERSION + 1}"):
            unpack("answer", line)

    @given(st.integers(100, 599), headers, st.binary(), st.none() | st.text())
    def test_answers(self, status, headers, body, returned_id):
        answer = Answer(status, headers, body, "k", returned_id)
        written = []
        assert keep(answer, written.append, frozenset()).final
        found = kept_answer("k", written[0])
        assert (found.status, found.body, found.returned_id) == (status, body, returned_id)
        assert set(found.headers) <= set(headers)
        assert not [name for name, _ in found.headers if is_secret(name)]
        assert found.replayed and found.final and found.key == "k"


class TestLimits:
    def test_an_answer_too_big_is_kept_without_its_body(self, make, small):
        big = Answer(201, (("X-Small", "1"),), b'{"id": "x", "more": "%s"}' % (b"m" * LARGEST))
        caller = make(small, big, returned_id="id")
        first = caller.post(key="k")
        assert first.body == big.body and first.final
        again = caller.post(key="k")
        assert (again.status, again.body, again.returned_id) == (201, None, "x")
        assert again.header("X-Small") == "1"
        with pytest.raises(idemkey.NotKeptError, match=r"kept without its body.*'x'"):
            again.json()

    def test_headers_too_big_go_too(self, make, small):
        big = Answer(201, (("X-Big", "b" * LARGEST),), b'{"id": "x"}')
        caller = make(small, big, returned_id="id")
        caller.post(key="k")
        again = caller.post(key="k")
        assert (again.status, again.headers, again.body, again.returned_id) == (201, (), None, "x")

    def test_an_intent_too_big_is_kept_without_its_body(self, make, store):
        caller = make(store, LostReplyError("reset"), CREATED, retry=Retry(attempts=1))
        body = {"big": "b" * (store.stats()["intent_max"] + LARGEST)}
        with pytest.raises(RetriesExhaustedError):
            caller.post(body, key="k", context={"order": 7})
        (intent,) = caller.caller.unfinished()
        assert (intent.body, intent.json(), intent.context) == (None, None, {"order": 7})
        with pytest.raises(idemkey.MismatchError):
            caller.post({"big": "other"}, key="k")
        assert caller.post(body, key="k").status == 201

    def test_an_intent_that_never_fits_sends_nothing(self, make, store):
        caller = make(store)
        with pytest.raises(idemkey.TooBigError):
            caller.post(key="k", context={"big": "b" * (store.stats()["intent_max"] + LARGEST)})
        assert list(store.scan()) == []

    def test_a_full_store_sends_nothing(self, make, small):
        with pytest.raises(idemkey.FullError):
            for i in range(100_000):
                small.claim(f"{i}", intent=bytes(500)).complete()
        caller = make(small)
        with pytest.raises(idemkey.FullError):
            caller.post(context={"big": "b" * 5000})
        assert caller.sent == []

    def test_an_answer_without_room_is_told(self, make, store):
        caller = make(store, CREATED)
        store.claim(caller.caller.store_key("k"), ttl=60).complete(
            bytes(2 << 20), allow_not_kept=True
        )
        with pytest.raises(idemkey.NotKeptError, match="its value was not kept"):
            caller.post(key="k")

    def test_a_foreign_value_is_told(self, make, store):
        caller = make(store, CREATED)
        store.claim(caller.caller.store_key("k")).complete(b"by hand")
        with pytest.raises(
            idemkey.CorruptError, match=r"no answer that idemkey.client has written"
        ):
            caller.post(key="k")

    def test_what_is_held_is_told(self, make, store):
        caller = make(store)
        store.claim(caller.caller.store_key("k"), on_crash="hold").abandon()
        with pytest.raises(idemkey.CorruptError):  # it has no intent to ask for
            caller.post(key="k")


class TestSecrets:
    @pytest.mark.parametrize(
        "name",
        [
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "Set-Cookie",
            "X-Api-Key",
            "apikey",
            "api_key",
            "X-Auth-Token",
            "X-CSRF-Token",
            "X-Amz-Signature",
            "sig",
            "client_secret",
            "password",
            "Ocp-Apim-Subscription-Key",
            "X-Auth",
            "session_id",
        ],
    )
    def test_names_of_secrets(self, name):
        assert is_secret(name) and is_secret(name.upper()) and is_secret(name.lower())

    @pytest.mark.parametrize(
        "name",
        ["Content-Type", "Accept", "X-Account", "X-Request-Id", "Prefer", "User-Agent", "page"],
    )
    def test_names_of_others(self, name):
        assert not is_secret(name)
        assert is_secret(name, {name.lower()})

    @given(headers)
    def test_headers_are_parted(self, headers):
        kept, left_out = public_headers(headers, frozenset())
        assert sorted([*(name for name, _ in kept), *left_out]) == sorted(n for n, _ in headers)
        assert set(kept) <= set(headers)

    @pytest.mark.parametrize(
        ("url", "public", "left_out"),
        [
            ("https://a/b?c=1&d=%20#e", None, ()),
            ("https://a/b?&&=&c", None, ()),
            ("https://me@a/", "https://a/", ("user:password@",)),
            ("https://me:p%40w@a:8080/", "https://a:8080/", ("user:password@",)),
            ("https://a/?b=1&api_key=x&c=2", f"https://a/?b=1&api_key={MASK}&c=2", ("?api_key",)),
            ("https://a/?api%5Fkey=x#f", f"https://a/?api%5Fkey={MASK}#f", ("?api%5Fkey",)),
            ("https://a/?token=&token", None, ()),
        ],
    )
    def test_urls(self, url, public, left_out):
        assert public_url(url, frozenset()) == (public or url, left_out)

    def test_an_intent_tells_what_it_lacks(self, make, store):
        caller = make(store, LostReplyError("reset"), retry=Retry(attempts=1))
        with pytest.raises(RetriesExhaustedError) as caught:
            caller.post(headers={"Authorization": "Bearer s3cret", "X-Account": "acc_1"})
        for intent in (caught.value.intent, *caller.caller.unfinished()):
            assert intent.left_out == ("Authorization",)
            assert ("X-Account", "acc_1") in intent.headers and "s3cret" not in repr(intent)

    def test_a_new_password_is_no_other_request(self, store):
        caller = Caller(store, Script(CREATED), api="a")
        for secret in ("old", "new"):
            answer = caller.request(
                "POST", f"{URL}?token={secret}", key="k", headers={"Authorization": secret}
            )
        assert answer.replayed


class TestReturnedId:
    @pytest.mark.parametrize(
        ("where", "body", "expected"),
        [
            ("id", b'{"id": "p_1"}', "p_1"),
            ("_id", b'{"_id": 7}', "7"),
            ("data.payout.id", b'{"data": {"payout": {"id": "p_1"}}}', "p_1"),
            ("data.id", b'{"data": [{"id": 1}]}', None),
            ("id", b'{"id": true}', None),
            ("id", b'{"id": null}', None),
            ("id", b"[]", None),
            ("id", b"no JSON \xff", None),
        ],
    )
    def test_a_path(self, make, store, where, body, expected):
        assert make(store, Answer(201, (), body), returned_id=where).post().returned_id == expected

    def test_a_function(self, make, store):
        where = Answer(201, (("Location", "/things/7"),))
        caller = make(store, where, returned_id=lambda answer: answer.header("location")[8:])
        assert caller.post(key="k").returned_id == caller.post(key="k").returned_id == "7"

    def test_one_for_the_call(self, make, store):
        caller = make(store, CREATED, returned_id="id")
        assert caller.post(returned_id="data.id").returned_id == "payout_1"

    def test_refusals_have_none(self, make, store):
        assert (
            make(store, Answer(422, (), b'{"id": 1}'), returned_id="id").post().returned_id is None
        )

    def test_its_error_does_not_undo_what_has_happened(self, make, store):
        caller = make(store, CREATED, returned_id=lambda answer: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            caller.post(key="k")
        assert store.lookup(caller.caller.store_key("k")).state is State.DONE
        answer = caller.post(key="k")
        assert (answer.status, answer.returned_id, len(caller.sent)) == (201, None, 1)


class TestArguments:
    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"method": ""}, "method is ''"),
            ({"method": "PO ST"}, "method is"),
            ({"url": "/things"}, "url is '/things' and must be absolute"),
            ({"url": "ftp://a/"}, "must be absolute"),
            ({"url": "https:///a"}, "must be absolute"),
            ({"url": "https://a/b c"}, "printable ASCII"),
            ({"url": "https://a/\u00e9"}, "printable ASCII"),
            ({"url": "https://a/\n"}, "printable ASCII"),
            ({"url": "https://a:99999/"}, "must be absolute"),
            ({"url": "https://me:s3cret@a:x/"}, r"//\.\.\.@a:x/"),
            ({"headers": {"a b": "c"}}, "'a b' is no name"),
            ({"headers": {"a": "b\r\nc: d"}}, "value of a must be printable"),
            ({"headers": {"a": " b"}}, "without spaces"),
            ({"headers": {"a": "\u20ac"}}, "Latin-1"),
            ({"headers": {"idempotency-key": "x"}}, "give the key as key="),
            ({"key": ""}, "key is '' and must be 1 to 255"),
            ({"key": "k" * 256}, "1 to 255 printable"),
            ({"key": " k"}, "without spaces"),
            ({"key": "k\n"}, "printable"),
            ({"key": "\u00e9"}, "ASCII"),
            ({"json": float("nan")}, "JSON compliant"),
        ],
    )
    def test_a_bad_request_claims_nothing(self, store, changed, message):
        caller = Caller(store, Script(), api="a")
        arguments = {"method": "POST", "url": URL, **changed}
        with pytest.raises(ValueError, match=message):
            caller.request(**arguments)
        assert list(store.scan()) == []

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"json": 1, "content": b""}, "json and content are both given"),
            ({"json": {"a": object()}}, "JSON"),
            ({"context": {"a": object()}}, "JSON"),
            ({"content": 5}, "content must be bytes"),
            ({"data": b"x"}, "data"),
            ({"key": 7}, "key must be a str"),
            ({"headers": {"a": 1}}, "headers: a must be a str"),
            ({"returned_id": 5}, "returned_id must be a path"),
            ({"wait": "1"}, "wait must be a number"),
        ],
    )
    def test_a_bad_type_claims_nothing(self, store, options, message):
        with pytest.raises(TypeError, match=message):
            Caller(store, Script(), api="a").request("POST", URL, **options)
        assert list(store.scan()) == []

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"api": ""}, ValueError, "api is ''"),
            ({"api": "a:b"}, ValueError, "api is 'a:b'"),
            ({"api": "a\n"}, ValueError, "api is"),
            ({}, TypeError, "api"),
            ({"api": "a", "header": "a b"}, ValueError, "'a b' is no name"),
            ({"api": "a", "secret_headers": "X-Pin"}, TypeError, "pass a tuple"),
            ({"api": "a", "timeout": 0}, ValueError, "timeout is 0 seconds and must be above 0"),
            ({"api": "a", "timeout": None}, TypeError, "timeout must be a number"),
            ({"api": "a", "server_retention": 60}, ValueError, "must be above the deadline"),
            ({"api": "a", "server_retention": None}, TypeError, "server_retention must be"),
            ({"api": "a", "ttl": 0}, ValueError, "ttl is 0"),
            ({"api": "a", "ttl": None}, TypeError, "ttl must be"),
            ({"api": "a", "ttl": 1e10}, ValueError, "ttl_ms"),
            ({"api": "a", "crash_grace": -1}, ValueError, "crash_grace is -1"),
            ({"api": "a", "reconcile": "f"}, TypeError, "reconcile must be a function"),
        ],
    )
    def test_bad_settings(self, store, options, error, message):
        with pytest.raises(error, match=message):
            Caller(store, Script(), **options)

    def test_an_intent_is_readable(self):
        intent = Intent("k", "POST", URL, (), b'{"a": 1}', None, True)
        assert (intent.json(), intent.attempts) == ({"a": 1}, 0)
