--- A claim: the store's answer, and the right and duty that may come with it.
--
-- Beside the fields of a record it has `outcome`, and `won`: whether to run the operation and end
-- the claim. What is known of the key is as of the claim; ending it changes `kept` only.

local arguments = require "idemkey.arguments"
local constants = require "idemkey.constants"
local failure = require "idemkey.failure"
local low = require "idemkey.low_level"
local record = require "idemkey.record"
local warning = require "idemkey.warning"

local Claim = {}

local COMPLETE_OPTIONS = { ttl = true, allow_not_kept = true }

--- The reply of a claim that was won; nil once it has ended. Anything else is misuse.
local function open_reply(claim, method)
  if type(claim) ~= "table" or claim.won == nil then
    error(("%s is a method: claim:%s(...)"):format(method, method), 3)
  end
  if not claim.won then
    error(
      ("%s: the claim is %s: only claimed and reclaimed ones are to be ended"):format(
        method, claim.outcome),
      3
    )
  end
  return claim._reply
end

--- The failure of a second end.
local function ended(method)
  return method .. ": the claim has ended already; nothing was changed", "ELOST"
end

--- Ends the claim: the operation has been run, and later claimers get `value`.
--
-- `options.ttl`: seconds from now to keep it, or FOREVER; else the ttl given to the claim.
-- `options.allow_not_kept`: complete even if the value is above the store's largest, without it.
-- A store too full to keep the value completes without it: then `kept` is false.
-- Fails with ELOST (taken over, or has ended) and ETOOBIG; nothing was changed then.
function Claim.complete(claim, value, options)
  local reply = open_reply(claim, "complete")
  arguments.text("value", value, 2)
  local ttl_ms, flags = constants.ttl.TTL_SAME, 0
  if options ~= nil then
    arguments.options(options, COMPLETE_OPTIONS, 2)
    ttl_ms = arguments.ttl_ms(options.ttl, constants.ttl.TTL_SAME, 2)
    if arguments.boolean("allow_not_kept", options.allow_not_kept, false, 2) then
      flags = constants.complete.ALLOW_NOT_KEPT
    end
  end
  if not reply then
    return nil, ended("complete")
  end
  local status, kept = low.complete(reply, value, ttl_ms, flags)
  if status ~= 0 then
    return nil, failure.of(status)
  end
  claim._reply = nil
  claim.kept = kept
  return true
end

--- Gives the key back: the operation did not happen. The next claimer gets "claimed"; from the
-- second attempt on "reclaimed" or "held", as the earlier attempt's fate stays unknown. Fails with
-- ELOST.
function Claim.release(claim)
  local reply = open_reply(claim, "release")
  if not reply then
    return nil, ended("release")
  end
  local status = low.release(reply)
  if status ~= 0 then
    return nil, failure.of(status)
  end
  claim._reply = nil
  return true
end

--- Leaves without a verdict, as if this process had died: the next claimer gets "reclaimed" or
-- "held". Fails with ELOST.
function Claim.abandon(claim)
  local reply = open_reply(claim, "abandon")
  if not reply then
    return nil, ended("abandon")
  end
  local status = low.abandon(reply)
  if status ~= 0 then
    return nil, failure.of(status)
  end
  claim._reply = nil
  return true
end

--- Sets the lease to end `lease` seconds from now; nil: no lease. Fails with ELOST.
function Claim.renew(claim, lease)
  local reply = open_reply(claim, "renew")
  local lease_ms = arguments.duration_ms("lease", lease, 2)
  if not reply then
    return nil, ended("renew")
  end
  local status = low.renew(reply, lease_ms)
  if status ~= 0 then
    return nil, failure.of(status)
  end
  return true
end

local class = record.class("idemkey.claim", Claim)

--- Lua 5.4's `local claim <close> = store:claim(...)`: a claim that was not ended is abandoned.
function class.__close(claim)
  local reply = claim._reply
  claim._reply = nil
  if reply and low.abandon(reply) == 0 then
    warning.abandoned(claim.id)
  end
end

--- A claim of a reply; nil of a batch's item that failed.
local function make(key, store, reply)
  local claim = record.make(class, key, store, reply, low.read(reply))
  if not (claim and claim.won) then
    low.free(reply)
  end
  return claim
end

return { make = make }
