local idemkey = require "idemkey"
local suite = require "suite"
local test, equal, misuse = suite.test, suite.equal, suite.misuse

--- Of each option of claim: what it refuses, and a part of the message.
local REFUSED = {
  { "fingerprint", "abc", "fingerprint has 3 bytes and must have 16" },
  { "fingerprint", 5, "fingerprint must be a string or nil, not 5" },
  { "ttl", 0, "ttl is 0 and must be seconds above 0" },
  { "ttl", -1, "ttl is -1 seconds" },
  { "ttl", 0 / 0, "ttl is " },
  { "ttl", "60", "ttl must be a number of seconds, not a string" },
  { "ttl", 86400 * 366 * 11, "(10 years)" },
  { "ttl", 1e300, "(10 years)" },
  { "lease", -0.5, "lease is -0.5 seconds" },
  { "lease", math.huge, "idemkey.FOREVER is a ttl only" },
  { "lease", 86400 * 31, "must be 0 to 2592000000 ms" },
  { "lease", true, "lease must be a number of seconds, not true" },
  { "intent", {}, "intent must be a string or nil, not a table" },
  { "wait", -1, "wait is -1 seconds" },
  { "wait", 86401, "must be 0 to 86400000 ms" },
  { "crash_grace", "1", "crash_grace must be a number" },
  { "on_crash", "holds", "on_crash must be 'reclaim' or 'hold', not 'holds'" },
  { "on_crash", true, "on_crash must be 'reclaim' or 'hold', not true" },
  { "leese", 5, "there is no option leese: there are crash_grace, fingerprint, intent, lease" },
}

test("bad options of a claim", function(store)
  for _, refused in ipairs(REFUSED) do
    misuse(refused[3], function()
      store:claim("key", { [refused[1]] = refused[2] })
    end)
  end
  misuse("options must be a table, not a string", function()
    store:claim("key", "60")
  end)
  equal(store:lookup "key", nil)
end)

test("bad keys", function(store)
  local calls = {
    claim = {},
    lookup = {},
    wait = { 1 },
    forget = {},
    touch = { 1 },
    resolve = { { forget = true } },
  }
  for method, rest in pairs(calls) do
    local bad = {
      { nil, "key must be a string, not nil" },
      { 5, "key must be a string, not 5" },
      { {}, "key must be a string, not a table" },
      { "", "key: has 0 bytes; must have 1 to 1024" },
      { ("x"):rep(1025), "key: has 1025 bytes" },
    }
    for i = 1, #bad do
      misuse(bad[i][2], function()
        store[method](store, bad[i][1], rest[1])
      end)
    end
  end
end)

test("methods are methods", function(store)
  for _, method in ipairs { "claim", "lookup", "wait", "forget", "claim_many", "stats", "close" } do
    misuse(method .. " is a method: store:" .. method, function()
      store[method] "key"
    end)
  end
  local claim = assert(store:claim "key")
  misuse("release is a method: claim:release", function()
    claim.release()
  end)
  misuse("complete is a method: claim:complete", function()
    claim.complete "value"
  end)
  assert(claim:release())
end)

test("bad values and options of an end", function(store)
  local claim = assert(store:claim "key")
  misuse("value must be a string, not nil", function()
    claim:complete()
  end)
  misuse("value must be a string, not a table", function()
    claim:complete {}
  end)
  misuse("ttl is 0", function()
    claim:complete("value", { ttl = 0 })
  end)
  misuse("there is no option lease", function()
    claim:complete("value", { lease = 5 })
  end)
  misuse("allow_not_kept must be true or false", function()
    claim:complete("value", { allow_not_kept = 1 })
  end)
  misuse("lease must be a number", function()
    claim:renew "5"
  end)
  misuse("force must be true or false", function()
    store:forget("key", { force = "yes" })
  end)
  misuse("budget is 0.5", function()
    store:sweep(0.5)
  end)
  misuse("max_bytes must be a number, not nil", function()
    store:resize()
  end)
  misuse("ttl is nil", function()
    store:touch "key"
  end)
  equal(store:lookup("key").state, "pending")
  assert(claim:complete "value")
end)

test("short times are rounded up, not to none", function(store)
  assert(store:claim("key", { ttl = 1e-9, crash_grace = 1e-9, lease = 1e-9 }))
  local claim = assert(store:claim("key", { wait = 60 }))
  equal(claim.outcome, "reclaimed")
  assert(claim:complete("value", { ttl = idemkey.FOREVER }))
end)
