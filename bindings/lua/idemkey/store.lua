--- The store: claims, look-ups and waiting. What is off the hot path stands in keys.lua,
-- batch.lua and region.lua.

local arguments = require "idemkey.arguments"
local claims = require "idemkey.claim"
local constants = require "idemkey.constants"
local failure = require "idemkey.failure"
local low = require "idemkey.low_level"
local record = require "idemkey.record"

local ENOTFOUND = constants.status.ENOTFOUND

local Store = {}

local CLAIM_OPTIONS = {
  fingerprint = true,
  ttl = true,
  lease = true,
  intent = true,
  wait = true,
  on_crash = true,
  crash_grace = true,
}

--- Claims a key, or tells who has it: the claim's `outcome` is "claimed" or "reclaimed" (run it,
-- and end the claim), "busy", "done", "mismatch" or "held" (do not).
--
-- `key`: 1 to 1024 bytes. `options`, times in seconds:
--   fingerprint: 16 bytes that say which request uses the key; another one is a "mismatch"
--   ttl: how long the key is kept, or FOREVER; default one day
--   lease: until when others may take over although the owner lives; default: never
--   intent: bytes for whoever must find out what became of the claim after a crash
--   wait: to sleep at most while the key is busy; blocks this Lua state; default 0
--   on_crash: "reclaim": if the owner dies the next claimer runs it; "hold": it waits for resolve
--   crash_grace: how long the key stays busy after its owner's death; default 0
--
-- Fails with EFULL (no room; nothing was evicted), ETOOBIG (the intent), EREPLACED, ESLOTS, ...
function Store.claim(store, key, options)
  local handle = arguments.handle(store, "claim", 2)
  arguments.text("key", key, 2)
  local reply, status
  if options == nil then
    reply, status = low.claim(handle, key, nil, "", arguments.DEFAULT_TTL_MS, 0, 0, 0, 0)
  else
    arguments.options(options, CLAIM_OPTIONS, 2)
    reply, status = low.claim(
      handle,
      key,
      arguments.fingerprint(options.fingerprint, 2),
      arguments.optional_text("intent", options.intent, 2) or "",
      arguments.ttl_ms(options.ttl, arguments.DEFAULT_TTL_MS, 2),
      arguments.duration_ms("lease", options.lease, 2),
      arguments.duration_ms("crash_grace", options.crash_grace, 2),
      arguments.on_crash(options.on_crash, 2),
      arguments.duration_ms("wait", options.wait, 2)
    )
  end
  if not reply then
    return nil, failure.of(status)
  end
  return (claims.make(key, store, reply))
end

--- What is known of a key: a record, or nil (without a message) if there is none.
function Store.lookup(store, key)
  local handle = arguments.handle(store, "lookup", 2)
  local reply, status = low.lookup(handle, arguments.text("key", key, 2))
  if reply then
    return (record.take(key, store, reply))
  end
  if status ~= ENOTFOUND then
    return nil, failure.of(status)
  end
  return nil
end

--- Sleeps until a key is not being run, at most `timeout` seconds: then as lookup. Blocks this Lua
-- state. Fails with ETIMEDOUT if it is still being run.
function Store.wait(store, key, timeout)
  local handle = arguments.handle(store, "wait", 2)
  arguments.text("key", key, 2)
  local reply, status = low.wait(handle, key, arguments.duration_ms("timeout", timeout, 2))
  if reply then
    return (record.take(key, store, reply))
  end
  if status ~= ENOTFOUND then
    return nil, failure.of(status)
  end
  return nil
end

for _, part in ipairs { "idemkey.keys", "idemkey.batch", "idemkey.region" } do
  for name, method in pairs(require(part)) do
    Store[name] = method
  end
end

--- The metatable of stores.
local class = { __name = "idemkey.store", __index = Store }

function class.__tostring(store)
  return ("idemkey.store (%s, %s)"):format(store.path, store.closed and "closed" or "open")
end

--- Lua 5.4's `local store <close> = ...`.
function class.__close(store)
  store:close()
end

return { class = class }
