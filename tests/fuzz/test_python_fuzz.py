"""Arguments, keys, stored values and command lines: Python raises what is documented."""

import contextlib
import decimal
import fractions
import io
import json
import math
import os
import pathlib
import random
import runpy
import struct
import sys
from unittest import mock

import idemkey
import pytest
from hypothesis import HealthCheck, configuration, given, seed, settings
from hypothesis import strategies as st
from idemkey import demo, wsgi

SEED = int(os.environ.get("IDEMKEY_SEED") or random.SystemRandom().randrange(1 << 32))
configuration.set_hypothesis_home_dir(pathlib.Path(__file__).parents[2] / "build" / "hypothesis")
DOCUMENTED = (ValueError, TypeError, idemkey.Error)
EXAMPLES = 300

# Numbers and texts at the edges, and what is none of them.
HUGE = st.sampled_from([10**400, -(10**5000), sys.float_info.max, -0.0, 5e-324, math.inf, math.nan])
NUMBERS = st.one_of(st.integers(), st.floats(), HUGE)
TEXT = st.text(st.characters(codec=None), max_size=40)  # lone surrogates too
BYTES = st.binary(max_size=40)
OTHER = st.one_of(
    st.none(),
    st.booleans(),
    st.just(object),
    st.decimals().map(decimal.Decimal),
    st.fractions().map(fractions.Fraction),
    st.lists(BYTES, max_size=2),
    BYTES.map(bytearray),
    BYTES.map(memoryview),
    st.just(memoryview(bytes(64))[::2]),
)
ANYTHING = st.one_of(NUMBERS, TEXT, BYTES, OTHER)
KEYS = st.one_of(TEXT, BYTES, st.binary(min_size=1000, max_size=1100), ANYTHING)
SECONDS = st.one_of(st.floats(min_value=0, max_value=1e9), st.just(idemkey.FOREVER), ANYTHING)
FINGERPRINTS = st.one_of(st.binary(min_size=16, max_size=16), ANYTHING)
VALUES = st.one_of(BYTES, st.binary(max_size=40_000), ANYTHING)


def fuzzed(examples=EXAMPLES, **strategies):
    """``given``, with a seed that IDEMKEY_SEED repeats and nothing kept between runs."""
    slow = [HealthCheck.too_slow]  # the machine may be busy
    rules = settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=slow
    )
    return lambda test: seed(SEED)(rules(given(**strategies)(test)))


@pytest.fixture(autouse=True)
def _tell_seed():
    print(f"IDEMKEY_SEED={SEED}")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with idemkey.Store(tmp_path_factory.mktemp("fuzz") / "region", max_bytes=1 << 20) as opened:
        yield opened
        assert opened.check()["violations"] == 0


@fuzzed(
    key=KEYS,
    options=st.fixed_dictionaries(
        {},
        optional={
            "fingerprint": FINGERPRINTS,
            "ttl": SECONDS,
            "lease": SECONDS,
            "intent": VALUES,
            "wait": SECONDS,
            "on_crash": st.one_of(st.sampled_from(["reclaim", "hold"]), ANYTHING),
            "crash_grace": SECONDS,
        },
    ),
    value=VALUES,
    ttl=SECONDS,
)
def test_claim(store, key, options, value, ttl):
    with contextlib.suppress(*DOCUMENTED), store.claim(key, **options) as claim:
        assert claim.won
        try:
            claim.complete(value, ttl)
        except DOCUMENTED:
            claim.release()
            raise
        kept = store.lookup(key)
        assert kept is None or kept.value == bytes(value)
        store.forget(key)


@fuzzed(
    key=KEYS,
    value=st.one_of(st.none(), VALUES),
    seconds=SECONDS,
    number=st.one_of(st.integers(0, 1 << 40), NUMBERS, ANYTHING),
)
def test_other_calls(store, key, value, seconds, number):
    for call in (
        lambda: store.lookup(key),
        lambda: store.forget(key),
        lambda: store.touch(key, seconds),
        lambda: store.resolve(key, value, seconds),
        lambda: store.wait(key, seconds),
        lambda: store.sweep(number),
        lambda: store.resize(number),
        lambda: idemkey.fingerprint(key, value, secret=value),
    ):
        with contextlib.suppress(*DOCUMENTED):
            call()


@fuzzed(
    keys=st.one_of(st.lists(KEYS, max_size=4), ANYTHING),
    marks=st.one_of(st.none(), st.lists(FINGERPRINTS, max_size=4), ANYTHING),
    intents=st.one_of(st.none(), st.lists(VALUES, max_size=4), ANYTHING),
    seconds=SECONDS,
)
def test_batches(store, keys, marks, intents, seconds):
    with contextlib.suppress(*DOCUMENTED):
        claims = store.claim_many(keys, fingerprints=marks, intents=intents, ttl=seconds)
        for claim in claims:
            if claim.won:
                claim.release()
    with contextlib.suppress(*DOCUMENTED):
        store.lookup_many(keys)


@fuzzed(
    name=st.one_of(TEXT, BYTES),
    other=st.one_of(st.just(None), ANYTHING),
    options=st.fixed_dictionaries(
        {},
        optional={
            "max_bytes": st.one_of(st.integers(1 << 20, 1 << 36), ANYTHING),
            "max_value_bytes": ANYTHING,
            "mode": ANYTHING,
            "group": st.one_of(st.none(), OTHER, st.integers(-5, -1)),
            "create": st.booleans(),
            "exclusive": st.booleans(),
            "readonly": st.booleans(),
        },
    ),
)
def test_opening(tmp_path_factory, name, other, options):
    # A file of the folder, or what is no path; never a path elsewhere.
    folder = tmp_path_factory.getbasetemp()
    if isinstance(name, str):
        path = os.path.join(folder, "o-" + name.replace("/", "_"))
    else:
        path = os.path.join(os.fsencode(folder), b"o-" + name.replace(b"/", b"_"))
    for given_path in (path, None if isinstance(other, (str, bytes)) else other):
        with contextlib.suppress(*DOCUMENTED, OSError):
            idemkey.Store(given_path, **options).close()
    with contextlib.suppress(ValueError, OSError):
        os.unlink(path)


ARGUMENTS = st.one_of(
    st.sampled_from(
        ["demo", "--keys", "--keys=7", "-h", "--help", "--", "", "=", "--k", "٣", "9" * 5000]
    ),
    TEXT,
    st.integers().map(str),
)


@fuzzed(arguments=st.lists(ARGUMENTS, max_size=4))
def test_command_line(arguments):
    asked = []
    with (
        mock.patch.object(sys, "argv", ["idemkey", *arguments]),
        mock.patch.object(demo, "main", lambda keys: asked.append(keys) or 0),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()) as errors,
        pytest.raises(SystemExit) as exit_,
    ):
        runpy.run_module("idemkey.__main__", run_name="__main__")
    assert exit_.value.code in (0, 2)
    assert exit_.value.code == 0 or "error:" in errors.getvalue()
    assert all(keys >= 1 for keys in asked)


# What could be mistaken for what `once` stores.
STORED = st.one_of(
    BYTES,
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=8)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
    st.just(b"[" * 100_000),
)
# What could be mistaken for a recorded response: a head that says how much follows, and more.
RECORDED = st.one_of(
    BYTES,
    st.builds(
        lambda version, status, length, rest: struct.pack("<HHI", version, status, length) + rest,
        st.sampled_from([1, 0, 2, 257]),
        st.integers(0, 1000),
        st.one_of(st.integers(0, 40), st.just(2**32 - 1)),
        st.one_of(BYTES, st.just(b"X: a\r\nY: b\r\nbody"), st.just(b"X: a\r\n\r\nY\n: b\r\n")),
    ),
)
# A server's strings are bytes in disguise.
LATIN = st.text(st.characters(max_codepoint=255), max_size=20)
ENVIRONMENTS = st.fixed_dictionaries(
    {"REQUEST_METHOD": st.sampled_from(["POST", "GET", "PATCH", "", "post"])},
    optional={
        "HTTP_IDEMPOTENCY_KEY": st.one_of(
            st.just("key"), st.text(st.characters(max_codepoint=255), max_size=300)
        ),
        "CONTENT_LENGTH": st.one_of(st.integers().map(str), LATIN),
        "PATH_INFO": LATIN,
        "SCRIPT_NAME": LATIN,
        "QUERY_STRING": LATIN,
        "HTTP_AUTHORIZATION": LATIN,
        "wsgi.input_terminated": st.booleans(),
    },
)


def answer(middleware, environ, body=b""):
    """Send a request; the status and the headers, which must be what a server can send."""
    sent = []
    environ = {**environ, "wsgi.input": io.BytesIO(body)}
    middleware(environ, lambda status, headers, exc_info=None: sent.append((status, headers)))
    ((status, headers),) = sent
    assert int(status.split(" ")[0]) >= 100
    for text in (status, *(text for pair in headers for text in pair)):
        assert not set("\r\n\0") & set(text)
    return status, headers


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]


@fuzzed(environ=ENVIRONMENTS, body=BYTES)
def test_requests(store, environ, body):
    answer(wsgi.IdempotencyMiddleware(application, store, principal="Authorization"), environ, body)


@fuzzed(stored=RECORDED)
def test_recorded_responses(store, stored):
    environ = {"REQUEST_METHOD": "POST", "HTTP_IDEMPOTENCY_KEY": "recorded", "CONTENT_LENGTH": "0"}
    middleware = wsgi.IdempotencyMiddleware(application, store, principal=None)
    answer(middleware, environ)
    (record,) = [record for record in store.scan() if b"recorded" in record.key]
    store.forget(record.key)
    with store.claim(record.key, fingerprint=record.fingerprint) as claim:
        try:
            claim.complete(stored)
        except idemkey.TooBigError:
            claim.complete(stored[:1000])
    status, _ = answer(middleware, environ)
    (code,) = struct.unpack_from("<2xH", stored.ljust(4, b"\0"))
    assert status.startswith((f"{code} ", "409 "))
    store.forget(record.key)


@fuzzed(stored=STORED)
def test_results_of_once(store, stored):
    run = store.once(key=lambda: "once")(lambda: "first")
    with store.claim("once") as claim:
        claim.complete(stored[:1000])
    with contextlib.suppress(*DOCUMENTED):
        run()
    store.forget("once")
