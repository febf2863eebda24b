--- A store's calls on many keys at once, which overlap the waits for memory.

local arguments = require "idemkey.arguments"
local claims = require "idemkey.claim"
local constants = require "idemkey.constants"
local failure = require "idemkey.failure"
local low = require "idemkey.low_level"
local record = require "idemkey.record"

local NONE = {}
local CLAIM_OPTIONS = {
  fingerprints = true,
  intents = true,
  ttl = true,
  lease = true,
  on_crash = true,
  crash_grace = true,
}

local batch = {}

--- A table that goes with the keys, one by one; `default` for each that it leaves out.
local function beside(name, items, n, check, default)
  if items ~= nil and type(items) ~= "table" then
    arguments.fail(2, "%s must be a table, not a %s", name, type(items))
  end
  local checked = {}
  for i = 1, n do
    local item = items and items[i] or nil -- false, too, leaves it out
    checked[i] = check(item, 3) or default
  end
  return checked
end

local function intent(item, level)
  return (arguments.optional_text("intent", item, level + 1))
end

--- Claims each of the strings `keys`: a table of claims in their order. A key that is there twice
-- is busy the second time. `options`: `fingerprints` and `intents`, tables beside the keys, and
-- ttl, lease, on_crash and crash_grace of store:claim, which hold for all. There is no waiting.
--
-- Fails with the first key that failed; what the batch had won is given back.
function batch.claim_many(store, keys, options)
  local handle = arguments.handle(store, "claim_many", 2)
  local n = arguments.keys(keys, 2)
  options = arguments.options(options or NONE, CLAIM_OPTIONS, 2)
  local replies, status = low.claim_many(
    handle,
    n,
    keys,
    beside("fingerprints", options.fingerprints, n, arguments.fingerprint, false),
    beside("intents", options.intents, n, intent, ""),
    arguments.ttl_ms(options.ttl, arguments.DEFAULT_TTL_MS, 2),
    arguments.duration_ms("lease", options.lease, 2),
    arguments.duration_ms("crash_grace", options.crash_grace, 2),
    arguments.on_crash(options.on_crash, 2)
  )
  local made = {}
  for i = 1, n do
    made[i] = claims.make(keys[i], store, replies[i])
  end
  if status == 0 then
    return made
  end
  local message, code, errno = failure.describe(status)
  for i = 1, n do
    local claim = made[i]
    if claim and claim.won and not claim:release() then
      claim:abandon()
    end
  end
  if status == constants.status.EINVAL then
    error(message, 2)
  end
  return nil, message, code, errno
end

--- What is known of each of the strings `keys`: a table of records in their order, with false where
-- there is nothing.
function batch.lookup_many(store, keys)
  local handle = arguments.handle(store, "lookup_many", 2)
  local n = arguments.keys(keys, 2)
  local replies, status = low.lookup_many(handle, n, keys)
  if not replies then
    return nil, failure.of(status)
  end
  local records = {}
  for i = 1, n do
    records[i] = record.take(keys[i], store, replies[i]) or false
  end
  return records
end

return batch
