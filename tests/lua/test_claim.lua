local idemkey = require "idemkey"
local suite = require "suite"
local test, equal, fails, misuse = suite.test, suite.equal, suite.fails, suite.misuse

local PRINT = idemkey.fingerprint { "POST", "/payouts" }
local OTHER_PRINT = idemkey.fingerprint { "POST", "/refunds" }

test("a new key is claimed", function(store)
  local claim = assert(store:claim("key", { ttl = 60, lease = 5 }))
  equal(claim.outcome, "claimed")
  equal(claim.won, true)
  equal(claim.key, "key")
  equal(claim.state, "pending")
  equal(claim.attempt, 1)
  equal(claim.held, false)
  equal(claim.kept, false)
  equal(claim.value, nil)
  equal(claim.intent, "")
  assert(claim.age >= 0 and claim.age < 60)
  assert(claim.lease_left > 0 and claim.lease_left < 6) -- rounded up
  assert(claim.expires_in >= 60 and claim.expires_in < 62)
  equal(claim:complete "value", true)
  equal(claim.kept, true)
end)

test("while it is being run it is busy", function(store)
  local claim = assert(store:claim "key")
  local busy = assert(store:claim "key")
  equal(busy.outcome, "busy")
  equal(busy.won, false)
  equal(busy.id, claim.id)
  equal(busy.state, "pending")
  equal(busy.lease_left, nil)
  misuse("complete: the claim is busy", function()
    busy:complete "value"
  end)
  assert(claim:release())
end)

test("when it is done its value is there", function(store)
  local claim = assert(store:claim("key", { fingerprint = PRINT }))
  assert(claim:complete("value", { ttl = 30 }))
  local done = assert(store:claim("key", { fingerprint = PRINT }))
  equal(done.outcome, "done")
  equal(done.value, "value")
  equal(done.kept, true)
  equal(done.state, "done")
  equal(done.attempt, 0)
  equal(done.id, claim.id)
  equal(done.fingerprint, PRINT)
  assert(done.done_age >= 0)
  assert(done.expires_in > 0 and done.expires_in < 32)
end)

test("an id is 16 hexadecimal digits, exact", function(store)
  local ids = {}
  for i = 1, 100 do
    local claim = assert(store:claim("key" .. i))
    assert(claim.id:match("^%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x$"), claim.id)
    equal(claim.id, store:lookup("key" .. i).id)
    assert(not ids[claim.id], "an id is there twice")
    ids[claim.id] = true
    assert(claim:release())
  end
end)

test("the key of another request is a mismatch, before it is busy or done", function(store)
  local claim = assert(store:claim("key", { fingerprint = PRINT }))
  equal(store:claim("key", { fingerprint = OTHER_PRINT }).outcome, "mismatch")
  assert(claim:complete "secret")
  local mismatch = assert(store:claim("key", { fingerprint = OTHER_PRINT }))
  equal(mismatch.outcome, "mismatch")
  equal(mismatch.value, nil)
  equal(mismatch.state, "done")
  equal(mismatch.id, claim.id)
  equal(store:claim("key").outcome, "done")
end)

test("a released key is claimed as new", function(store)
  assert(store:claim("key"):release())
  local claim = assert(store:claim "key")
  equal(claim.outcome, "claimed")
  equal(claim.attempt, 1)
  assert(claim:release())
end)

test("an abandoned key is reclaimed, with the first intent", function(store)
  assert(store:claim("key", { intent = "pay 7" }):abandon())
  local claim = assert(store:claim("key", { intent = "other" }))
  equal(claim.outcome, "reclaimed")
  equal(claim.won, true)
  equal(claim.attempt, 2)
  equal(claim.intent, "pay 7")
  assert(claim:release())
  equal(store:claim("key").outcome, "reclaimed")
end)

test("or it is held, if its claim asked for that", function(store)
  assert(store:claim("key", { intent = "pay 7", on_crash = "hold" }):abandon())
  local held = assert(store:claim "key")
  equal(held.outcome, "held")
  equal(held.held, true)
  equal(held.state, "orphaned")
  equal(held.intent, "pay 7")
end)

test("or busy, within its crash grace", function(store)
  assert(store:claim("key", { crash_grace = 3600 }):abandon())
  equal(store:claim("key").outcome, "busy")
end)

test("after its lease others take over, and the late owner does no harm", function(store)
  local late = assert(store:claim("key", { lease = 0.001 }))
  local claim = assert(store:claim("key", { wait = 60 }))
  equal(claim.outcome, "reclaimed")
  fails("ELOST", late:renew(5))
  fails("ELOST", late:complete "late")
  fails("ELOST", late:release())
  fails("ELOST", late:abandon())
  assert(claim:complete "in time")
  equal(store:lookup("key").value, "in time")
end)

test("a lease is renewed", function(store)
  local claim = assert(store:claim("key", { lease = 100 }))
  equal(claim:renew(200), true)
  assert(store:lookup("key").lease_left > 100)
  equal(claim:renew(), true)
  equal(store:lookup("key").lease_left, nil)
  assert(claim:complete "")
  equal(store:lookup("key").value, "")
end)

test("a claim ends once, and never another's in its place", function(store)
  local claim = assert(store:claim "key")
  assert(claim:complete "value")
  local other = assert(store:claim "other")
  fails("ELOST", claim:complete "again")
  fails("ELOST", claim:release())
  fails("ELOST", claim:abandon())
  fails("ELOST", claim:renew(5))
  equal(store:lookup("other").state, "pending")
  assert(other:release())
end)

test("a value that is too big is refused, or not kept", function(store)
  local value_max = store:stats().value_max
  local claim = assert(store:claim "key")
  fails("ETOOBIG", claim:complete(("x"):rep(value_max + 1)))
  assert(claim:complete(("x"):rep(value_max + 1), { allow_not_kept = true }))
  equal(claim.kept, false)
  local done = assert(store:claim "key")
  equal(done.outcome, "done")
  equal(done.kept, false)
  equal(done.value, nil)
  local largest = assert(store:claim "largest")
  assert(largest:complete(("y"):rep(value_max)))
  equal(store:claim("largest").value, ("y"):rep(value_max))
end)

test("strings are bytes", function(store)
  local bytes = {}
  for i = 0, 255 do
    bytes[#bytes + 1] = string.char(i)
  end
  bytes = table.concat(bytes)
  for _, text in ipairs { bytes, "\0", "a\0b", ("\255"):rep(1024), bytes:rep(2) } do
    local claim = assert(store:claim(text, { intent = text }))
    equal(store:lookup(text).intent, text)
    assert(claim:complete(text:rep(3)))
    equal(store:lookup(text).value, text:rep(3))
    equal(store:claim(text).value, text:rep(3))
  end
end)

test("kept for ever", function(store)
  assert(store:claim("key", { ttl = idemkey.FOREVER }):complete "value")
  equal(store:lookup("key").expires_in, idemkey.FOREVER)
  assert(store:claim("other"):complete("value", { ttl = idemkey.FOREVER }))
  equal(store:lookup("other").expires_in, idemkey.FOREVER)
end)

test("a wait ends when it is over", function(store)
  local claim = assert(store:claim "key")
  equal(store:claim("key", { wait = 0.001 }).outcome, "busy")
  assert(claim:release())
end)

test("a full store refuses new claims, and keeps what it has", function()
  local store = assert(idemkey.open(suite.path(), { max_bytes = 2 ^ 20 }))
  local n = 0
  repeat
    n = n + 1
    local claim, message, code = store:claim(("key %d"):format(n))
    if claim then
      assert(claim:complete(("x"):rep(1000)))
    else
      fails("EFULL", claim, message, code)
    end
  until not claim
  for i = 1, n - 1 do
    local done = assert(store:claim(("key %d"):format(i)))
    equal(done.outcome, "done")
  end
  equal(assert(store:check()).violations, 0)
end)
