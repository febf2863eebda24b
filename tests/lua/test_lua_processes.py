"""Lua and Python share a store: who is busy, who has died, and what was recorded."""

import os
import random

import idemkey
import pytest
from interpreters import INTERPRETERS, LuaProcess, wait_until

MAX_BYTES = 16 << 20
BYTES = bytes(range(256)) * 9
#: In Lua, such that the agent's lines hold no line ends.
LUA_BYTES = "(function() local t = {} for i = 0, 255 do t[i + 1] = string.char(i) end "
LUA_BYTES += "return table.concat(t):rep(9) end)()"


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "region.idem")


@pytest.fixture
def store(path):
    with idemkey.Store(path, max_bytes=MAX_BYTES) as store:
        yield store
        assert store.check()["violations"] == 0


@pytest.fixture
def start(path, store):
    """``start(interpreter)``: a process with the store open, which the test does not outlive."""
    processes = []

    def start(interpreter):
        processes.append(LuaProcess(interpreter, path))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


@pytest.fixture(params=INTERPRETERS)
def lua(request, start):
    return start(request.param)


def test_a_claim_of_lua_is_busy_in_python_and_reclaimed_after_a_kill(store, lua):
    assert lua.ask("c = store:claim('key', { intent = 'pay 7' }) return c.outcome") == "claimed"
    busy = store.claim("key")
    assert busy.outcome is idemkey.Outcome.BUSY
    assert busy.id == lua.ask("return c.id")
    lua.kill()
    claim = store.claim("key", wait=60.0)
    assert claim.outcome is idemkey.Outcome.RECLAIMED
    assert (claim.attempt, claim.intent) == (2, b"pay 7")
    claim.complete(b"value")


def test_a_claim_of_python_is_busy_in_lua_and_reclaimed_when_it_is_left(store, lua):
    claim = store.claim("key", intent=b"pay 7")
    assert lua.ask("return store:claim('key').outcome") == "busy"
    claim.abandon()
    assert lua.ask("c = store:claim 'key' return c.outcome .. c.attempt .. c.intent") == (
        "reclaimed2pay 7"
    )
    assert lua.ask("return c:complete('value')") == "true"
    assert store.lookup("key").value == b"value"


def test_held_for_a_person(store, lua):
    lua.ask("c = store:claim('key', { on_crash = 'hold' }) return c.outcome")
    lua.kill()
    assert store.claim("key", wait=60.0).outcome is idemkey.Outcome.HELD
    store.resolve("key", b"paid")
    assert store.claim("key").value == b"paid"


def test_bytes_are_the_same_on_both_sides(store, lua):
    store.claim(BYTES[:1024], intent=BYTES).complete(BYTES)
    lua.ask(f"b = {LUA_BYTES} return #b")
    assert lua.ask("return store:lookup(b:sub(1, 1024)).value == b") == "true"
    assert lua.ask("return store:claim('k' .. b:sub(1, 1000)):complete(b)") == "true"
    assert store.lookup(b"k" + BYTES[:1000]).value == BYTES


def test_fingerprints_are_the_same(store, lua):
    lua.ask(f"b = {LUA_BYTES} return #b")
    mark = idemkey.fingerprint("POST", BYTES, b"", secret=BYTES)
    assert lua.ask("f = idemkey.fingerprint({ 'POST', b, '' }, b) return #f") == "16"
    store.claim("key", fingerprint=mark).complete(b"value")
    assert lua.ask("return store:claim('key', { fingerprint = f }).outcome") == "done"
    assert (
        lua.ask("return store:claim('key', { fingerprint = b:sub(1, 16) }).outcome") == "mismatch"
    )


def test_ids_are_the_same(store, lua):
    store.claim("key").complete(b"")
    assert lua.ask("return store:lookup('key').id") == store.lookup("key").id


def test_who_waits_in_lua_hears_of_the_end_in_python(store, lua):
    claim = store.claim("key")
    lua.say("local c = store:claim('key', { wait = 60 }) return c.outcome .. c.value")
    claim.complete(b"value")
    assert lua.hear() == "donevalue"


def test_who_waits_in_python_hears_of_the_end_in_lua(store, lua):
    lua.ask("c = store:claim 'key' return c.outcome")
    lua.say("return c:complete 'value'")
    assert store.wait("key", 60.0).value == b"value"
    assert lua.hear() == "true"


KEYS = 2000
ROUNDS = 5
LINE_BYTES = 19  # of the log
#: Claims keys until all are done. Notes each claim that it has won before it ends it.
WORK = """
local seed, keys, path = ...
math.randomseed(seed)
local log = assert(io.open(path, "a"))
log:setvbuf("full", 4096)
local left
repeat
  left = 0
  for i = 1, keys do
    local claim = assert(store:claim("key " .. (i * 7 + seed) % keys))
    if claim.won then
      log:write(claim.id, " ", claim.attempt, "\\n")
      log:flush()
      if math.random(3) == 1 then
        assert(claim:release())
      else
        assert(claim:complete(claim.id))
      end
    end
    if claim.outcome ~= "done" then
      left = left + 1
    end
  end
until left == 0
return "over"
"""


def all_done(store):
    return store.stats()["done_keys"] == KEYS


def test_kills_leave_no_key_stuck_and_no_attempt_is_won_twice(store, start, tmp_path):
    seed = int(os.environ.get("IDEMKEY_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"IDEMKEY_SEED={seed}")
    rng = random.Random(seed)
    log = tmp_path / "log"
    log.touch()
    work = " ".join(WORK.split("\n"))

    def workers():
        started = [start(interpreter) for interpreter in INTERPRETERS]
        for process in started:
            process.say(f"return (function(...) {work} end)({rng.randrange(999)}, {KEYS}, '{log}')")
        return started

    for _ in range(ROUNDS):
        doomed = workers()
        wanted = log.stat().st_size + LINE_BYTES * rng.randrange(200)
        wait_until(lambda wanted=wanted: log.stat().st_size >= wanted or all_done(store))
        for process in doomed:
            process.kill()
    for process in workers():
        assert process.hear() == "over"
    won = log.read_text().splitlines()
    assert len(won) == len(set(won)) >= KEYS
    for number in range(KEYS):
        record = store.lookup(f"key {number}")
        assert record.state is idemkey.State.DONE
        assert record.value.decode() == record.id
