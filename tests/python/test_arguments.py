"""Bad input is refused with the argument's name, its value and the limit, and changes nothing."""

import math
import re

import idemkey
import pytest
from idemkey import arguments
from idemkey.low_level import ffi, lib

KEY_MAX = 1024


def refused(kind, *words):
    """Expects an exception whose message has all ``words``."""
    return pytest.raises(kind, match="".join(f"(?=.*{re.escape(word)})" for word in words))


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"key": b""}, ValueError, ["key", "0", "1"]),
        ({"key": ""}, ValueError, ["key", "0", "1"]),
        ({"key": b"k" * 1025}, ValueError, ["key", "1025", "1024"]),
        ({"key": 7}, TypeError, ["key", "bytes or str", "int"]),
        ({"key": None}, TypeError, ["key", "NoneType"]),
        ({"fingerprint": b"short"}, ValueError, ["fingerprint", "5", "16"]),
        ({"fingerprint": "f" * 16}, TypeError, ["fingerprint", "bytes", "str"]),
        ({"ttl": 0}, ValueError, ["ttl", "0", "FOREVER"]),
        ({"ttl": -0.001}, ValueError, ["ttl", "-0.001"]),
        ({"ttl": -1.0}, ValueError, ["ttl", "-1.0"]),
        ({"ttl": math.nan}, ValueError, ["ttl", "nan"]),
        ({"ttl": 1e15}, ValueError, ["ttl"]),
        ({"ttl": 1e300}, ValueError, ["ttl"]),
        ({"ttl": None}, TypeError, ["ttl", "number of seconds", "NoneType"]),
        ({"ttl": "60"}, TypeError, ["ttl", "str"]),
        ({"ttl": True}, TypeError, ["ttl", "bool"]),
        ({"lease": -1}, ValueError, ["lease", "-1"]),
        ({"lease": 1e15}, ValueError, ["lease"]),
        ({"lease": math.inf}, ValueError, ["lease", "inf", "FOREVER"]),
        ({"wait": -1}, ValueError, ["wait", "-1"]),
        ({"wait": math.inf}, ValueError, ["wait", "finite"]),
        ({"wait": None}, TypeError, ["wait", "NoneType"]),
        ({"crash_grace": -1}, ValueError, ["crash_grace", "-1"]),
        ({"crash_grace": 1e15}, ValueError, ["crash_grace"]),
        ({"on_crash": "ignore"}, ValueError, ["on_crash", "'ignore'", "'reclaim' or 'hold'"]),
        ({"on_crash": []}, ValueError, ["on_crash", "[]"]),
        ({"intent": "text"}, TypeError, ["intent", "bytes", "str"]),
        ({"intent": bytes(64 << 20)}, idemkey.TooBigError, ["intent", str(64 << 20)]),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, dict) else "",
)
def test_claim(store, options, kind, words):
    with refused(kind, *words):
        store.claim(**{"key": b"k", **options})
    assert list(store.scan()) == []


@pytest.mark.parametrize("name", ["lookup", "forget"])
@pytest.mark.parametrize("key", [b"", b"k" * (KEY_MAX + 1)])
def test_keys_of_other_calls(store, name, key):
    with refused(ValueError, "key", str(len(key))):
        getattr(store, name)(key)


def test_completing(store):
    claim = store.claim("k")
    with refused(TypeError, "value", "bytes", "str"):
        claim.complete("text")
    with refused(ValueError, "ttl", "-1"):
        claim.complete(b"", ttl=-1)
    with refused(ValueError, "ttl", "0"):
        claim.complete(b"", ttl=0)
    with refused(ValueError, "lease", "-1"):
        claim.renew(-1)
    claim.complete(b"at last")
    assert store.claim("k").value == b"at last"


def test_other_calls(store):
    with refused(ValueError, "timeout", "-1"):
        store.wait("k", -1)
    with refused(ValueError, "ttl", "0"):
        store.touch("k", 0)
    with refused(TypeError, "value", "str"):
        store.resolve("k", "text")
    with refused(ValueError, "max_bytes", "1"):
        store.resize(1)
    with refused(TypeError, "a part", "int"):
        idemkey.fingerprint(7)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"max_bytes": -1}, ValueError, ["max_bytes", "-1"]),
        ({"max_bytes": 1}, ValueError, ["max_bytes", "1"]),
        ({"max_bytes": 1.5}, TypeError, ["max_bytes", "float"]),
        ({"max_bytes": 2**62}, ValueError, ["max_bytes"]),
        ({"max_value_bytes": 2**32}, ValueError, ["max_value_bytes", str(2**32)]),
        ({"max_value_bytes": 2**31}, ValueError, ["max_value_bytes", str(2**31)]),
        ({"mode": 0o77777}, ValueError, ["mode"]),
        ({"group": -7}, ValueError, ["group", "-7"]),
        ({"path": 7}, TypeError, ["not int"]),
        ({"path": "a\0b"}, ValueError, ["null byte"]),
        ({"path": ""}, ValueError, ["path", "empty"]),
    ],
    ids=repr,
)
def test_opening(path, options, kind, words):
    with refused(kind, *words):
        idemkey.Store(**{"path": path, **options})


def test_numbers_and_lists_of_calls_on_many(store):
    with refused(ValueError, "max_bytes", "-1"):
        store.resize(-1)
    with refused(TypeError, "max_bytes", "str"):
        store.resize("1")
    with refused(ValueError, "budget", "-1"):
        store.sweep(-1)
    for many in (store.claim_many, store.lookup_many):
        with refused(TypeError, "keys", "str"):
            many("abc")


def test_seconds_become_ms_rounded_up():
    assert arguments.ttl_ms(0.0001) == 1
    assert arguments.ttl_ms(1.5) == 1500
    assert arguments.ttl_ms(math.inf) == lib.IDEM_FOREVER
    assert arguments.duration_ms("wait", 0) == 0
    assert arguments.duration_ms("wait", 2) == 2000


def test_bytes_in_their_other_forms(store):
    claim = store.claim(bytearray(b"k"), fingerprint=memoryview(bytes(16)), intent=bytearray(b"i"))
    assert store.lookup("k").intent == b"i"
    claim.complete(memoryview(b"value"))
    again = store.claim("k", bytes(16))
    assert (again.value, again.key) == (b"value", b"k")


def test_text_is_utf_8(store):
    store.claim("schlüssel").complete(b"")
    assert store.lookup("schlüssel".encode()).key == "schlüssel".encode()


def test_defaults_are_those_of_c():
    request = ffi.new("struct idem_request *")
    lib.idem_request_init(request, ffi.sizeof("struct idem_request"))
    assert request.ttl_ms == arguments.DEFAULT_TTL_MS == arguments.ttl_ms(idemkey.DEFAULT_TTL)
