--- A store's calls for the care of one key, and of each in turn.

local arguments = require "idemkey.arguments"
local constants = require "idemkey.constants"
local failure = require "idemkey.failure"
local low = require "idemkey.low_level"
local record = require "idemkey.record"

local ENOTFOUND = constants.status.ENOTFOUND
local FORGET_OPTIONS = { force = true }
local RESOLVE_OPTIONS = { value = true, ttl = true, forget = true }

local keys = {}

--- Removes a key and zeroes its bytes; whether there was one. `options.force`: also a key that a
-- living process runs; else that fails with EBUSY.
function keys.forget(store, key, options)
  local handle = arguments.handle(store, "forget", 2)
  arguments.text("key", key, 2)
  local flags = 0
  if options ~= nil then
    arguments.options(options, FORGET_OPTIONS, 2)
    if arguments.boolean("force", options.force, false, 2) then
      flags = constants.forget.FORCE
    end
  end
  local status = low.forget(handle, key, flags)
  if status ~= 0 and status ~= ENOTFOUND then
    return nil, failure.of(status)
  end
  return status == 0
end

--- Keeps a done key for `ttl` seconds from now, or for FOREVER. Fails with ENOTFOUND, and with
-- EBUSY if it is not done yet.
function keys.touch(store, key, ttl)
  local handle = arguments.handle(store, "touch", 2)
  arguments.text("key", key, 2)
  local status = low.touch(handle, key, arguments.ttl_ms(ttl, nil, 2))
  if status ~= 0 then
    return nil, failure.of(status)
  end
  return true
end

--- Ends a key whose owner died or left it, for instance a held one.
--
-- Either `options.value`: the operation has happened, this is what later claimers get, for
-- `options.ttl` seconds from now (FOREVER; default one day); or `options.forget = true`: it has not
-- happened. Fails with ENOTFOUND (no such key, or not orphaned) and EBUSY (a living process runs
-- it).
function keys.resolve(store, key, options)
  local handle = arguments.handle(store, "resolve", 2)
  arguments.text("key", key, 2)
  arguments.options(options, RESOLVE_OPTIONS, 2)
  local value = arguments.optional_text("value", options.value, 2)
  local forget = arguments.boolean("forget", options.forget, false, 2)
  local ttl_ms = arguments.ttl_ms(options.ttl, arguments.DEFAULT_TTL_MS, 2)
  if forget == (value ~= nil) or (forget and options.ttl) then
    error("resolve: give either a value (and its ttl), or forget = true", 2)
  end
  local status = low.resolve(handle, key, value, forget and 0 or ttl_ms)
  if status ~= 0 then
    return nil, failure.of(status)
  end
  return true
end

--- For `for record in store:scan() do`: every live key, in no order; one that is live throughout is
-- seen exactly once. What fails on the way is an error, as in io.lines.
function keys.scan(store)
  local handle = arguments.handle(store, "scan", 2)
  local reply
  return function()
    local status
    reply, status = low.scan(handle, reply)
    if reply then
      return (record.copy(store, reply))
    end
    if status ~= ENOTFOUND then
      error(failure.describe(status), 2)
    end
    return nil
  end
end

return keys
