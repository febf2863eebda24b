--- A store's calls that are about all of it.

local arguments = require "idemkey.arguments"
local constants = require "idemkey.constants"
local failure = require "idemkey.failure"
local low = require "idemkey.low_level"

local region = {}

--- Counters of bytes, blocks, keys and processes at this moment, by the names of struct idem_stats.
function region.stats(store)
  local numbers, status = low.stats(arguments.handle(store, "stats", 2))
  if not numbers then
    return nil, failure.of(status)
  end
  local stats = {}
  for i, name in ipairs(constants.stats) do
    stats[name] = numbers[i]
  end
  return stats
end

--- Verifies every invariant of the region: a table of `violations` (0) and of the `records`,
-- `values` and `heads` checked. Fails with ECORRUPT if one is broken.
function region.check(store)
  local status, violations, records, values, heads, first =
    low.check(arguments.handle(store, "check", 2))
  if status == constants.status.ECORRUPT and violations > 0 then
    local message, code = failure.describe(status)
    return nil, ("%s (%d: %s)"):format(message, violations, first), code
  end
  if status ~= 0 then
    return nil, failure.of(status)
  end
  return { violations = violations, records = records, values = values, heads = heads }
end

--- Does reclaiming now, of at most `budget` blocks (nil: all); the number of blocks freed.
function region.sweep(store, budget)
  local handle = arguments.handle(store, "sweep", 2)
  local freed = low.sweep(handle, arguments.integer("budget", budget, 0, 2))
  if freed < 0 then
    return nil, failure.of(freed)
  end
  return freed
end

--- Raises the region's limit while others work. Below the limit in force, or above the region's
-- ceiling, is an error. Fails with EFULL if the file system has no room.
function region.resize(store, max_bytes)
  local handle = arguments.handle(store, "resize", 2)
  local status = low.resize(handle, arguments.integer("max_bytes", max_bytes, nil, 2))
  if status ~= 0 then
    return nil, failure.of(status)
  end
  return true
end

--- Leaves the region; closing twice does nothing. Claims that are still open stay busy until this
-- process ends. Any other call on a closed store is an error.
function region.close(store)
  local handle = arguments.handle(store, "close", 2)
  if not store.closed then
    store.closed = true
    local status = low.close(handle)
    if status ~= 0 then
      return nil, failure.of(status)
    end
  end
  return true
end

return region
