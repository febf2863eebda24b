--- Checks of arguments, and seconds to milliseconds.
--
-- C checks the limits of what it gets; here is checked what C cannot see. Misuse is an error at
-- `level`: 1 is the function that calls the check, 2 its caller.

local constants = require "idemkey.constants"

local arguments = {}

--- The ttl of a key that is kept for ever.
arguments.FOREVER = math.huge
--- The ttl of a claim that gives none: one day, as in C.
arguments.DEFAULT_TTL_MS = 86400000

local MS_PER_SECOND = 1000
-- The largest number that a double holds exactly with all below it. Sent for all that is above it,
-- so that C, which knows the limit, refuses it by name.
local INTEGER_MAX = 2 ^ 53

local function fail(level, ...)
  error(string.format(...), level + 2)
end
arguments.fail = fail

--- How a value is told of in a message: text is not, it may be a secret.
local function shown(value)
  local kind = type(value)
  if kind == "number" or kind == "boolean" then
    return tostring(value)
  end
  return kind == "nil" and "nil" or "a " .. kind
end

--- The handle of a store that `method` is called on.
function arguments.handle(store, method, level)
  local handle = type(store) == "table" and store._handle
  if not handle then
    fail(level, "%s is a method: store:%s(...)", method, method)
  end
  return handle
end

function arguments.text(name, value, level)
  if type(value) ~= "string" then
    fail(level, "%s must be a string, not %s", name, shown(value))
  end
  return value
end

function arguments.optional_text(name, value, level)
  if value ~= nil and type(value) ~= "string" then
    fail(level, "%s must be a string or nil, not %s", name, shown(value))
  end
  return value
end

function arguments.fingerprint(value, level)
  arguments.optional_text("fingerprint", value, level + 1)
  local size = constants.limit.FINGERPRINT_SIZE
  if value and #value ~= size then
    local wrong = "fingerprint has %d bytes and must have %d: make it by idemkey.fingerprint"
    fail(level, wrong, #value, size)
  end
  return value
end

function arguments.boolean(name, value, default, level)
  if value == nil then
    return default
  end
  if type(value) ~= "boolean" then
    fail(level, "%s must be true or false, not %s", name, shown(value))
  end
  return value
end

--- A whole number, 0 or more; `default` for nil, if there is one.
function arguments.integer(name, value, default, level)
  if value == nil and default ~= nil then
    return default
  end
  if type(value) ~= "number" then
    fail(level, "%s must be a number, not %s", name, shown(value))
  end
  if not (value >= 0 and value <= INTEGER_MAX and value % 1 == 0) then
    fail(level, "%s is %s and must be a whole number, 0 to 2^53", name, tostring(value))
  end
  return value
end

--- Seconds as ms, rounded up, so that a short wait is not none at all; 0 for nil.
local function duration_ms(name, seconds, level)
  if seconds == nil then
    return 0
  end
  if type(seconds) ~= "number" then
    fail(level, "%s must be a number of seconds, not %s", name, shown(seconds))
  end
  if not (seconds >= 0 and seconds < math.huge) then
    fail(
      level, "%s is %s seconds and must be 0 or more, and finite%s", name, tostring(seconds),
      seconds == math.huge and " (idemkey.FOREVER is a ttl only)" or ""
    )
  end
  return math.ceil(math.min(seconds * MS_PER_SECOND, INTEGER_MAX))
end
arguments.duration_ms = duration_ms

--- A ttl in ms, or C's number for FOREVER; `default_ms` for nil.
function arguments.ttl_ms(seconds, default_ms, level)
  if seconds == nil and default_ms then
    return default_ms
  end
  if seconds == math.huge then
    return constants.ttl.FOREVER
  end
  if seconds == 0 or seconds == nil then
    fail(level, "ttl is %s and must be seconds above 0, or idemkey.FOREVER", tostring(seconds))
  end
  return (duration_ms("ttl", seconds, level + 1)) -- no tail call: the levels count
end

--- The C flag for on_crash.
function arguments.on_crash(value, level)
  if value == nil or value == "reclaim" then
    return 0
  end
  if value == "hold" then
    return constants.claim.HOLD
  end
  local given = type(value) == "string" and "'" .. value .. "'" or shown(value)
  fail(level, "on_crash must be 'reclaim' or 'hold', not %s", given)
end

--- A table of options, all of whose names must be true in `known`.
function arguments.options(options, known, level)
  if type(options) ~= "table" then
    fail(level, "options must be a table, not %s", shown(options))
  end
  for name in pairs(options) do
    if not known[name] then
      local names = {}
      for each in pairs(known) do
        names[#names + 1] = each
      end
      table.sort(names)
      fail(level, "there is no option %s: there are %s", tostring(name), table.concat(names, ", "))
    end
  end
  return options
end

--- The keys of a batch, and how many.
function arguments.keys(keys, level)
  if type(keys) ~= "table" then
    fail(level, "keys must be a table of strings, not %s", shown(keys))
  end
  local n = #keys
  for i = 1, n do
    if type(keys[i]) ~= "string" then
      fail(level, "keys[%d] must be a string, not %s", i, shown(keys[i]))
    end
  end
  return n
end

--- C's ms as seconds; nil for -1, "there is none".
function arguments.seconds(ms)
  return ms >= 0 and ms / MS_PER_SECOND or nil
end

--- C's retention as seconds.
function arguments.retention(ms)
  return ms == constants.ttl.FOREVER and math.huge or ms / MS_PER_SECOND
end

return arguments
