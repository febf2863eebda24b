--- Idempotency keys in shared memory: every operation once, whatever dies.
--
--   local idemkey = require "idemkey"
--   local store = assert(idemkey.open("/dev/shm/payouts.idem", { max_bytes = 256 * 2^20 }))
--   local claim = assert(store:claim("payout:7", { ttl = 3600 }))
--   if claim.won then
--     assert(claim:complete(pay()))
--   elseif claim.outcome == "done" then
--     return claim.value
--   end
--
-- What fails returns nil, a message and a code ("EFULL"; with "ESYS" the errno, too); wrong use is
-- an error. Strings are bytes, times are seconds. docs/lua.md is the manual.

local arguments = require "idemkey.arguments"
local constants = require "idemkey.constants"
local failure = require "idemkey.failure"
local low = require "idemkey.low_level"
local Store = require "idemkey.store"
local warning = require "idemkey.warning"

local idemkey = {
  version = low.version(),
  FOREVER = arguments.FOREVER,
}

local OPEN_OPTIONS = {
  max_bytes = true,
  max_value_bytes = true,
  mode = true,
  group = true,
  create = true,
  exclusive = true,
  readonly = true,
}
local UINT32_MAX = 2 ^ 32 - 1
local NONE = {}

--- The permission bits of text such as "0660". A number would be taken for decimal.
local function permission_bits(mode)
  if mode == nil then
    mode = "0600"
  end
  if type(mode) ~= "string" or not mode:match("^[0-7]+$") then
    error('mode must be octal digits in a string, such as "0660", not ' .. tostring(mode), 3)
  end
  return tonumber(mode, 8)
end

local function open_flags(options)
  local open = constants.open
  return (arguments.boolean("create", options.create, true, 3) and 0 or open.OPEN_EXISTING)
    + (arguments.boolean("exclusive", options.exclusive, false, 3) and open.OPEN_EXCLUSIVE or 0)
    + (arguments.boolean("readonly", options.readonly, false, 3) and open.OPEN_READONLY or 0)
end

--- Opens the region at `path`, usually in /dev/shm; makes it if it is missing. `options`:
--   max_bytes: the region's limit if it is made now; default 256 MiB
--   max_value_bytes: the largest value if it is made now; default 1 MiB, or what the region allows
--   mode, group: permission bits (text, octal) and group id of the file if it is made now
--   create = false: do not make it; exclusive = true: fail if it is there
--   readonly = true: inspect only: lookup, scan and stats
--
-- Fails with ESYS and an errno, EVERSION, ECORRUPT (no region of this build), EFULL. A store closes
-- when it is collected, or by store:close().
function idemkey.open(path, options)
  arguments.text("path", path, 2)
  if path == "" or path:find("\0", 1, true) then
    error("path is empty, or has a null byte: name a file", 2)
  end
  options = arguments.options(options or NONE, OPEN_OPTIONS, 2)
  local max_value_bytes = arguments.integer("max_value_bytes", options.max_value_bytes, 0, 2)
  local group = arguments.integer("group", options.group, -1, 2)
  if max_value_bytes > UINT32_MAX or group > UINT32_MAX then
    error("max_value_bytes and group must be below 2^32", 2)
  end
  local handle, status = low.open(
    path,
    open_flags(options),
    arguments.integer("max_bytes", options.max_bytes, 0, 2),
    max_value_bytes,
    permission_bits(options.mode),
    group
  )
  if not handle then
    return nil, failure.of(status)
  end
  return setmetatable({ path = path, closed = false, _handle = handle }, Store.class)
end

--- 16 bytes that are the same for the same table of strings: a keyed XXH3-128, the same in every
-- language. Each counts with its length: {"ab", "c"} differs from {"a", "bc"}. With a `secret`, who
-- does not know it cannot look for collisions easily; it is no signature.
function idemkey.fingerprint(parts, secret)
  if type(parts) ~= "table" then
    error("parts must be a table of strings, not a " .. type(parts), 2)
  end
  for i = 1, #parts do
    arguments.text("parts[" .. i .. "]", parts[i], 2)
  end
  secret = arguments.optional_text("secret", secret, 2) or ""
  local bytes, status = low.fingerprint(secret, #parts, parts)
  if not bytes then
    return nil, failure.of(status)
  end
  return bytes
end

--- Where warnings go, of claims that were abandoned because nobody ended them: fn(message).
-- Default: Lua 5.4's `warn`, elsewhere the standard error stream.
function idemkey.on_warning(fn)
  if type(fn) ~= "function" then
    error("on_warning must be given a function, not a " .. type(fn), 2)
  end
  warning.warn = fn
end

return idemkey
