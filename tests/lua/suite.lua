--- A small runner: `lua run.lua FILE FOLDER` runs the tests of a file, each with a store in the
-- folder.

local idemkey = require "idemkey"

local suite = { MAX_BYTES = 16 * 2 ^ 20 }
local tests = {}
local folder
local opened = 0

--- Adds a test: fn(store, path) is given a fresh store, whose every invariant must hold at the end.
function suite.test(name, fn)
  tests[#tests + 1] = { name = name, fn = fn }
end

--- A path that is not used yet.
function suite.path()
  opened = opened + 1
  return ("%s/%d.idem"):format(folder, opened)
end

local function shown(value)
  return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

--- Fails the test unless the two are the same; tables are compared by what is in them.
function suite.equal(found, wanted, where)
  where = where or ""
  if type(found) == "table" and type(wanted) == "table" then
    for key in pairs(found) do
      suite.equal(found[key], wanted[key], where .. "." .. tostring(key))
    end
    for key in pairs(wanted) do
      suite.equal(found[key], wanted[key], where .. "." .. tostring(key))
    end
  elseif found ~= wanted then
    where = where == "" and "it" or where
    error(("%s is %s, not %s"):format(where, shown(found), shown(wanted)), 0)
  end
end

--- Fails the test unless a call has returned `nil, message, code`. Returns the message.
function suite.fails(code, found, message, found_code, ...)
  suite.equal(found, nil, "the result")
  suite.equal(found_code, code, "the code")
  suite.equal(type(message), "string", "the message's type")
  assert(#message > 0, "the message is empty")
  return message, ...
end

--- Fails the test unless fn() raises an error that names the line of fn, and has `text` in it.
function suite.misuse(text, fn)
  local ok, message = pcall(fn)
  assert(not ok, "it is no error")
  assert(message:find(text, 1, true), ("the message has no %s: %s"):format(shown(text), message))
  local here = debug.getinfo(fn, "S")
  local file, line = message:match("^(.-):(%d+): ")
  suite.equal(file, here.short_src, "where the error is")
  line = tonumber(line)
  assert(line >= here.linedefined and line <= here.lastlinedefined, "the error is at line " .. line)
end

--- Collects all garbage; finalizers may take a second turn to free what they held.
function suite.collect()
  collectgarbage()
  collectgarbage()
end

--- Runs the tests that were added; whether all passed.
function suite.run(to)
  folder = to
  local failed = 0
  for _, test in ipairs(tests) do
    local path = suite.path()
    local store = assert(idemkey.open(path, { max_bytes = suite.MAX_BYTES }))
    local ok, message = xpcall(function()
      test.fn(store, path)
      if not store.closed then
        suite.equal(assert(store:check()).violations, 0, "violations")
      end
    end, debug.traceback)
    if not ok then
      failed = failed + 1
      print(("FAILED %s: %s"):format(test.name, message))
    end
    store:close()
  end
  print(("%d tests, %d failed"):format(#tests, failed))
  return failed == 0 and #tests > 0
end

return suite
