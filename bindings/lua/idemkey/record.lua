--- What the store knows of a key, as a table; times are seconds.
--
--   key            the key
--   state          "pending" (a living process runs it), "orphaned" (its owner died, or left
--                  without a verdict) or "done"
--   id             16 hexadecimal digits, unique in the store
--   attempt        1 for the first claim, one more at every takeover; 0 once done
--   held           whether it is orphaned and waits for store:resolve
--   kept           whether it is done and its value is there
--   value          of a done key; nil if it was not kept, or is another request's ("mismatch")
--   intent         of a pending or orphaned record, and of a reclaimed or held claim; else ""
--   fingerprint    that the key was first claimed with, or nil; not told to who has just given it
--   age            since the key's first claim
--   lease_left     of a pending key; nil without a lease
--   done_age       since the completion, if the value was kept; else nil
--   expires_in     retention left, or FOREVER; of a pending key that of its claim's ttl
--
-- It is a copy, and stays valid when the key changes or the store is closed.

local arguments = require "idemkey.arguments"
local constants = require "idemkey.constants"
local low = require "idemkey.low_level"

local outcomes, states = constants.outcomes, constants.states
local seconds, retention = arguments.seconds, arguments.retention

local WON = { claimed = true, reclaimed = true }

--- The table; from `result` on the arguments are the results of low.read. Nil of an item of a batch
-- that failed.
local function make(
  class, key, store, reply, result, state, attempt, held, kept, id_high, id_low, age_ms,
  lease_left_ms, done_age_ms, expires_in_ms, value, intent, fingerprint, scanned_key
)
  if result < 0 then
    return nil
  end
  local outcome = outcomes[result]
  local won = outcome and (WON[outcome] or false)
  return setmetatable({
    key = key or scanned_key,
    state = states[state],
    attempt = attempt,
    held = held,
    kept = kept,
    value = value,
    intent = intent,
    fingerprint = fingerprint,
    age = seconds(age_ms),
    lease_left = seconds(lease_left_ms),
    done_age = seconds(done_age_ms),
    expires_in = retention(expires_in_ms),
    outcome = outcome,
    won = won,
    _id_high = id_high,
    _id_low = id_low,
    _store = store, -- keeps it open
    _reply = won and reply or nil,
  }, class)
end

--- The metatable of records or claims, with their methods. The id is made when it is asked for.
local function class(name, methods)
  return {
    __name = name,
    __index = function(self, field)
      if field == "id" then
        return ("%08x%08x"):format(self._id_high, self._id_low)
      end
      return methods[field]
    end,
  }
end

local Record = class("idemkey.record", {})

--- The record of a reply, which is free afterwards; nil of a batch's item that failed.
local function take(key, store, reply)
  local record = make(Record, key, store, reply, low.read(reply))
  low.free(reply)
  return record
end

--- The record of a scan's reply, which is used on.
local function copy(store, reply)
  return (make(Record, nil, store, reply, low.read(reply)))
end

return { class = class, copy = copy, make = make, take = take }
