local idemkey = require "idemkey"
local suite = require "suite"
local test, equal, fails, misuse = suite.test, suite.equal, suite.fails, suite.misuse

local function keys_of(n)
  local keys = {}
  for i = 1, n do
    keys[i] = "key " .. i
  end
  return keys
end

test("many keys are claimed, completed and looked up", function(store)
  local keys = keys_of(100)
  local claims = assert(store:claim_many(keys, { ttl = 60, on_crash = "hold" }))
  equal(#claims, 100)
  for i, claim in ipairs(claims) do
    equal(claim.key, keys[i])
    equal(claim.outcome, "claimed")
    assert(claim.expires_in < 62)
    assert(claim:complete(("value %d "):format(i):rep(i)))
  end
  for i, claim in ipairs(assert(store:claim_many(keys))) do
    equal(claim.outcome, "done")
    equal(claim.value, ("value %d "):format(i):rep(i))
  end
  keys[101] = "none"
  local records = assert(store:lookup_many(keys))
  equal(#records, 101)
  equal(records[101], false)
  for i = 1, 100 do
    equal(records[i].key, keys[i])
    equal(records[i].value, ("value %d "):format(i):rep(i))
  end
end)

test("none at all", function(store)
  equal(store:claim_many {}, {})
  equal(store:lookup_many {}, {})
end)

test("fingerprints and intents go with the keys", function(store)
  local print, other = idemkey.fingerprint { "a" }, idemkey.fingerprint { "b" }
  local claims = assert(store:claim_many({ "a", "b", "c" }, {
    fingerprints = { print, false, other },
    intents = { [2] = "intent\0" },
  }))
  equal(store:lookup("a").fingerprint, print)
  equal(store:lookup("b").fingerprint, nil)
  equal(store:lookup("c").fingerprint, other)
  equal(store:lookup("a").intent, "")
  equal(store:lookup("b").intent, "intent\0")
  equal(store:claim("a", { fingerprint = other }).outcome, "mismatch")
  for _, claim in ipairs(claims) do
    assert(claim:release())
  end
end)

test("a key that is there twice is busy the second time", function(store)
  local claims = assert(store:claim_many { "key", "key" })
  equal(claims[1].outcome, "claimed")
  equal(claims[2].outcome, "busy")
  assert(claims[1]:release())
end)

test("what a batch has won before it fails is given back", function(store)
  local long = ("x"):rep(2 * store:stats().intent_max)
  assert(store:claim("again"):abandon())
  fails("ETOOBIG", store:claim_many({ "a", "again", "b", "c" }, { intents = { [3] = long } }))
  equal(store:lookup "a", nil)
  equal(store:lookup "b", nil)
  equal(store:lookup "c", nil)
  equal(store:lookup("again").state, "orphaned")
  misuse("key: has 1025 bytes", function()
    store:claim_many { "a", ("x"):rep(1025), "c" }
  end)
  equal(store:lookup "a", nil)
end)

test("misuse", function(store)
  misuse("keys must be a table", function()
    store:claim_many "key"
  end)
  misuse("keys[2] must be a string, not 7", function()
    store:claim_many { "key", 7 }
  end)
  misuse("keys[1] must be a string", function()
    store:lookup_many { false }
  end)
  misuse("fingerprint has 3 bytes", function()
    store:claim_many({ "key" }, { fingerprints = { "abc" } })
  end)
  misuse("intents must be a table", function()
    store:claim_many({ "key" }, { intents = "plan" })
  end)
  misuse("intent must be a string", function()
    store:claim_many({ "key" }, { intents = { 5 } })
  end)
  misuse("there is no option wait", function()
    store:claim_many({ "key" }, { wait = 5 })
  end)
  equal(store:lookup "key", nil)
end)
