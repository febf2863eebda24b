local idemkey = require "idemkey"
local suite = require "suite"
local test, equal, fails, misuse = suite.test, suite.equal, suite.fails, suite.misuse

local MiB = 2 ^ 20

test("the version", function()
  assert(idemkey.version:match "^%d+%.%d+%.%d+$", idemkey.version)
end)

test("opening", function()
  local path = suite.path()
  local message, errno = fails("ESYS", idemkey.open(path, { create = false }))
  assert(message:find(path, 1, true), message)
  equal(errno, 2) -- ENOENT
  local store = assert(idemkey.open(path, { max_bytes = 4 * MiB, max_value_bytes = 1000 }))
  equal(store:stats().max_bytes, 4 * MiB)
  assert(store:stats().value_max < 2000)
  equal(select(2, fails("ESYS", idemkey.open(path, { exclusive = true }))), 17) -- EEXIST
  assert(store:claim("key"):complete "value")
  local other = assert(idemkey.open(path, { create = false }))
  equal(other:lookup("key").value, "value")
  equal(tostring(other), "idemkey.store (" .. path .. ", open)")
  assert(other:close())
  equal(tostring(other), "idemkey.store (" .. path .. ", closed)")
end)

test("a file that is no region is refused", function()
  local path = suite.path()
  local file = assert(io.open(path, "w"))
  file:write(("no region "):rep(10000))
  file:close()
  fails("ECORRUPT", idemkey.open(path))
end)

test("inspecting only", function(store, path)
  assert(store:claim("key"):complete "value")
  local reader = assert(idemkey.open(path, { readonly = true }))
  equal(reader:lookup("key").value, "value")
  for record in reader:scan() do
    equal(record.key, "key")
  end
  misuse("read-only", function()
    reader:claim "key"
  end)
  assert(reader:close())
end)

test("a closed store", function(store)
  local claim = assert(store:claim "key")
  equal(store.closed, false)
  equal(store:close(), true)
  equal(store:close(), true)
  equal(store.closed, true)
  for _, method in ipairs { "lookup", "claim", "forget" } do
    misuse("is not open", function()
      store[method](store, "key")
    end)
  end
  misuse("is not open", function()
    store:stats()
  end)
  misuse("is not open", function()
    claim:complete "value"
  end)
end)

test("a store whose file was replaced refuses claims", function(store, path)
  assert(store:claim("key"):release())
  assert(os.remove(path))
  local claim, message, code
  repeat
    claim, message, code = store:claim "key"
    assert(not claim or claim:release())
  until not claim
  fails("EREPLACED", claim, message, code)
end)

test("statistics have the names of the C struct", function(store)
  local claim = assert(store:claim "pending")
  assert(store:claim("done"):complete "value")
  assert(store:claim("orphaned"):abandon())
  local stats = assert(store:stats())
  equal(stats.pending_keys, 1)
  equal(stats.done_keys, 1)
  equal(stats.orphaned_keys, 1)
  equal(stats.record_blocks, 3)
  equal(stats.key_max, 1024)
  assert(stats.now_ms > 0)
  equal(stats.size, nil)
  assert(claim:release())
end)

test("a check counts", function(store)
  assert(store:claim("key"):complete "value")
  local report = assert(store:check())
  equal(report.violations, 0)
  equal(report.records, 1)
  equal(report.values, 1)
  assert(report.heads >= 1)
end)

test("the limit is raised", function(store)
  equal(store:resize(2 * suite.MAX_BYTES), true)
  equal(store:stats().max_bytes, 2 * suite.MAX_BYTES)
  misuse("max_bytes", function()
    store:resize(1)
  end)
end)

test("sweeping", function(store)
  assert(store:claim("key"):complete "value")
  assert(store:forget "key")
  assert(store:sweep() >= 0)
  assert(store:sweep(1) <= 1)
end)

test("fingerprints", function()
  local print = assert(idemkey.fingerprint { "ab", "c" })
  equal(#print, 16)
  equal(idemkey.fingerprint { "ab", "c" }, print)
  assert(idemkey.fingerprint { "a", "bc" } ~= print)
  assert(idemkey.fingerprint { "abc" } ~= print)
  assert(idemkey.fingerprint({ "ab", "c" }, ("secret"):rep(40)) ~= print)
  equal(#idemkey.fingerprint {}, 16)
  misuse("parts[2] must be a string", function()
    idemkey.fingerprint { "a", 5 }
  end)
  misuse("parts must be a table", function()
    idemkey.fingerprint "a"
  end)
end)

test("misuse of open", function()
  misuse("path must be a string, not nil", function()
    idemkey.open()
  end)
  misuse("path is empty", function()
    idemkey.open ""
  end)
  misuse("has a null byte", function()
    idemkey.open "a\0b"
  end)
  misuse('mode must be octal digits in a string, such as "0660", not 660', function()
    idemkey.open("path", { mode = 660 })
  end)
  misuse("max_bytes is -1", function()
    idemkey.open("path", { max_bytes = -1 })
  end)
  misuse("max_bytes must be a number, not a string", function()
    idemkey.open("path", { max_bytes = "1M" })
  end)
  misuse("readonly must be true or false", function()
    idemkey.open("path", { readonly = 1 })
  end)
  misuse("there is no option max_byte:", function()
    idemkey.open("path", { max_byte = 1 })
  end)
  misuse("must be below 2^32", function()
    idemkey.open("path", { group = 2 ^ 32 })
  end)
  misuse("on_warning must be given a function", function()
    idemkey.on_warning()
  end)
end)

test("the module may be loaded again", function(store)
  local loaded = {}
  for name, module in pairs(package.loaded) do
    if name:match "^idemkey" then
      loaded[name] = module
      package.loaded[name] = nil
    end
  end
  local again = require "idemkey"
  assert(again ~= idemkey)
  local other = assert(again.open(store.path))
  local claim = assert(other:claim "key")
  equal(store:claim("key").outcome, "busy")
  assert(claim:complete "value")
  assert(other:close())
  for name, module in pairs(loaded) do
    package.loaded[name] = module
  end
end)
