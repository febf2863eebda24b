local idemkey = require "idemkey"
local suite = require "suite"
local test, equal, collect = suite.test, suite.equal, suite.collect

local warnings = {}
local function note(message)
  warnings[#warnings + 1] = message
end
idemkey.on_warning(note)

local function claim_and_forget(store, key)
  local id = assert(store:claim(key)).id
  return id
end

test("a claim that nobody ended is abandoned when it is collected, with a warning", function(store)
  warnings = {}
  local id = claim_and_forget(store, "key")
  collect()
  equal(#warnings, 1)
  assert(warnings[1]:find(id, 1, true), warnings[1])
  local claim = assert(store:claim "key")
  equal(claim.outcome, "reclaimed")
  assert(claim:complete "value")
end)


test("what has ended, or was never won, is collected in silence", function(store)
  warnings = {}
  assert(store:claim("released"):release())
  assert(store:claim("abandoned"):abandon())
  assert(store:claim("done"):complete "value")
  assert(store:claim "done")
  assert(store:lookup "done")
  local claim
  do
    local late = assert(store:claim("late", { lease = 0.001 }))
    claim = assert(store:claim("late", { wait = 60 }))
    suite.fails("ELOST", late:release())
  end
  collect()
  equal(#warnings, 0)
  equal(store:lookup("late").state, "pending")
  assert(claim:release())
end)

test("an error of the one who is warned harms nobody", function(store)
  idemkey.on_warning(function()
    error("no")
  end)
  claim_and_forget(store, "key")
  collect()
  idemkey.on_warning(note)
  equal(store:claim("key").outcome, "reclaimed")
end)

test("a store that is collected with its claims abandons them, then closes", function(store, path)
  local slots = store:stats().slots_used
  for i = 1, 20 do
    (function()
      local other = assert(idemkey.open(path))
      -- Some of their replies are older than the store, some are made for it.
      claim_and_forget(other, "key " .. i)
      assert(other:claim("done " .. i):complete "")
      claim_and_forget(other, "second " .. i)
    end)()
    collect()
    equal(store:lookup("key " .. i).state, "orphaned")
    equal(store:lookup("second " .. i).state, "orphaned")
  end
  equal(store:stats().slots_used, slots)
end)

--- How much of a file this process has mapped, in lines of the kernel's.
local function mappings(path)
  local n = 0
  for line in io.lines "/proc/self/maps" do
    n = n + (line:find(path, 1, true) and 1 or 0)
  end
  return n
end

test("a store that is collected is closed, and after a claim of its own", function()
  for _, key in ipairs { false, "key" } do
    local path = suite.path()
    assert(idemkey.open(path)):close() -- the kernel knows a new file by another name
    local open = (function()
      local store = assert(idemkey.open(path))
      if key then
        claim_and_forget(store, key)
      end
      return mappings(path)
    end)()
    collect()
    assert(mappings(path) < open, "it is mapped as before")
  end
end)

test("a claim keeps its store open", function(_, path)
  local claim = (function()
    return assert(assert(idemkey.open(path)):claim "key")
  end)()
  collect()
  assert(claim:complete "value")
end)

test("many claims open and lost at once", function(store)
  warnings = {}
  for i = 1, 500 do
    claim_and_forget(store, "key " .. i)
  end
  collect()
  equal(#warnings, 500)
  for i = 1, 500 do
    local claim = assert(store:claim("key " .. i))
    equal(claim.outcome, "reclaimed")
    assert(claim:complete "")
  end
end)

if _VERSION == "Lua 5.4" then
  -- The syntax is no other version's.
  local run = assert(load [[
    local store, raise = ...
    local claim <close> = assert(store:claim "key")
    if raise then
      error("on the way")
    end
    if claim.attempt > 2 then
      assert(claim:complete "value")
    end
  ]])

  test("a claim that goes out of scope without an end is abandoned", function(store)
    warnings = {}
    run(store)
    equal(#warnings, 1)
    equal(pcall(run, store, true), false)
    equal(#warnings, 2)
    run(store)
    equal(#warnings, 2)
    equal(store:lookup("key").value, "value")
  end)
end
