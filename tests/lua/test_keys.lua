local idemkey = require "idemkey"
local suite = require "suite"
local test, equal, fails, misuse = suite.test, suite.equal, suite.fails, suite.misuse

test("a look-up tells what is known", function(store)
  equal(select("#", store:lookup "key"), 1)
  equal(store:lookup "key", nil)
  local print = idemkey.fingerprint { "a" }
  local options = { intent = "i\0", fingerprint = print, lease = 50, ttl = 60 }
  local claim = assert(store:claim("key", options))
  local record = assert(store:lookup "key")
  equal(record.key, "key")
  equal(record.state, "pending")
  equal(record.attempt, 1)
  equal(record.intent, "i\0")
  equal(record.fingerprint, print)
  equal(record.value, nil)
  equal(record.outcome, nil)
  equal(record.won, nil)
  assert(record.lease_left > 0 and record.lease_left < 51) -- rounded up
  assert(claim:complete "v")
  record = assert(store:lookup "key")
  equal(record.state, "done")
  equal(record.value, "v")
  equal(record.attempt, 0)
  equal(record.lease_left, nil)
  assert(record.done_age >= 0 and record.done_age <= record.age)
end)

test("long values come back whole", function(store)
  for _, length in ipairs { 1, 255, 256, 257, 1023, 1024, 1025, 100000 } do
    local key, value = "key " .. length, ("%08d"):format(length):rep(length):sub(1, length)
    assert(store:claim(key):complete(value))
    equal(store:lookup(key).value, value)
    equal(store:claim(key).value, value)
    equal(store:wait(key, 0).value, value)
  end
end)

test("waiting for a key that is not being run ends at once", function(store)
  equal(select("#", store:wait("key", 60)), 1)
  local claim = assert(store:claim "key")
  fails("ETIMEDOUT", store:wait("key", 0.001))
  assert(claim:complete "value")
  equal(store:wait("key", 60).value, "value")
end)

test("a key is forgotten", function(store)
  equal(store:forget "key", false)
  local claim = assert(store:claim "key")
  fails("EBUSY", store:forget "key")
  assert(claim:complete "value")
  equal(store:forget "key", true)
  equal(store:lookup "key", nil)
  claim = assert(store:claim "key")
  equal(claim.outcome, "claimed")
  equal(store:forget("key", { force = true }), true)
  fails("ELOST", claim:complete "value")
end)

test("a done key is kept longer, or shorter", function(store)
  fails("ENOTFOUND", store:touch("key", 5))
  local claim = assert(store:claim "key")
  fails("EBUSY", store:touch("key", 5))
  assert(claim:complete("value", { ttl = 60 }))
  equal(store:touch("key", 600), true)
  assert(store:lookup("key").expires_in > 60)
  assert(store:touch("key", idemkey.FOREVER))
  equal(store:lookup("key").expires_in, idemkey.FOREVER)
end)

test("a held key is resolved by a value", function(store)
  assert(store:claim("key", { on_crash = "hold" }):abandon())
  equal(store:resolve("key", { value = "paid", ttl = 50 }), true)
  local done = assert(store:claim "key")
  equal(done.outcome, "done")
  equal(done.value, "paid")
  assert(done.expires_in < 52)
  fails("ENOTFOUND", store:resolve("key", { value = "again" }))
end)

test("or forgotten", function(store)
  local claim = assert(store:claim("key", { on_crash = "hold" }))
  fails("EBUSY", store:resolve("key", { forget = true }))
  assert(claim:abandon())
  equal(store:resolve("key", { forget = true }), true)
  equal(store:claim("key").outcome, "claimed")
  store:forget("key", { force = true })
end)

test("it must be said which", function(store)
  misuse("either a value", function()
    store:resolve("key", {})
  end)
  misuse("either a value", function()
    store:resolve("key", { value = "paid", forget = true })
  end)
  misuse("either a value", function()
    store:resolve("key", { forget = true, ttl = 5 })
  end)
  misuse("options must be a table", function()
    store:resolve "key"
  end)
end)

test("a scan sees every key once", function(store)
  for i = 1, 300 do
    local claim = assert(store:claim("key\0" .. i, { intent = "intent " .. i, on_crash = "hold" }))
    if i % 2 == 0 then
      assert(claim:complete(("value %d "):format(i):rep(i)))
    else
      assert(claim:abandon())
    end
  end
  local seen, n = {}, 0
  for record in store:scan() do
    local i = tonumber(record.key:match "^key%z(%d+)$")
    assert(not seen[i], "a key is there twice")
    seen[i] = true
    n = n + 1
    equal(record.id, store:lookup(record.key).id)
    if i % 2 == 0 then
      equal(record.value, ("value %d "):format(i):rep(i))
    else
      equal(record.state, "orphaned")
      equal(record.held, true)
      equal(record.intent, "intent " .. i)
    end
  end
  equal(n, 300)
end)

test("a scan that fails is an error", function(store)
  assert(store:claim("key"):complete "value")
  local step = store:scan()
  store:close()
  misuse("is not open", function()
    step()
  end)
end)
