--- The C library, times in milliseconds and statuses as numbers: by FFI on LuaJIT, by a C module on
-- PUC Lua. Both backends have these functions, and leave the checking of arguments to their caller:
--
--   version() -> string
--   last_error(status) -> message, errno
--   on_abandon(fn)                    fn(id_high, id_low) is told of open claims that are collected
--   open(path, flags, max_bytes, max_value_bytes, mode, group) -> store | nil, status
--   close(store) -> status
--   claim(store, key, fingerprint, intent, ttl_ms, lease_ms, crash_grace_ms, flags, wait_ms)
--     -> reply | nil, status
--   claim_many(store, n, keys, fingerprints, intents, ttl_ms, lease_ms, crash_grace_ms, flags)
--     -> replies, the first failure's status (the others may have won)
--   lookup_many(store, n, keys) -> replies | nil, status
--   lookup(store, key), wait(store, key, timeout_ms), scan(store, reply or nil)
--     -> reply | nil, status
--   read(reply) -> result, state, attempt, held, kept, id_high, id_low, age_ms, lease_left_ms,
--     done_age_ms, expires_in_ms, value, intent, fingerprint, key
--   free(reply)                       which was read, and is no open claim
--   complete(reply, value, ttl_ms, flags) -> status, kept
--   release(reply), abandon(reply), renew(reply, lease_ms),
--   forget(store, key, flags), touch(store, key, ttl_ms), resize(store, max_bytes),
--   resolve(store, key, value or nil, ttl_ms) -> status
--   sweep(store, budget) -> blocks or status
--   stats(store) -> numbers | nil, status       64-bit ones, in the order of struct idem_stats
--   check(store) -> status, violations, records, values, heads, first
--   fingerprint(secret, n, parts) -> string | nil, status
--
-- A reply is a claim, or what is known of a key; `result` is the outcome, 0 of what is no claim, or
-- the status of an item of a batch. A claim that is still open when its reply is collected is
-- abandoned; one that was ended well is freed by that.

local declarations = require "idemkey.declarations"

local on_luajit = type(jit) == "table"
local low = require(on_luajit and "idemkey.ffi" or "idemkey.core")

--- Patch releases change no declaration.
local function interface(version)
  return version:match("^%d+%.%d+")
end

if interface(low.version()) ~= interface(declarations.version) then
  error(
    ("idemkey: this Lua module belongs to version %s, libidemkey.so is %s: "):format(
      declarations.version, low.version())
      .. "install both from one release"
  )
end

return low
