--- What a failing call returns, or raises.

local constants = require "idemkey.constants"
local low = require "idemkey.low_level"

local failure = {}

--- Of the status of the call just made: the message, its code ("EFULL"), and of "ESYS" the errno.
function failure.describe(status)
  local message, errno = low.last_error(status)
  return message, constants.codes[status], errno
end

--- As describe; but wrong use, which C finds as EINVAL, is an error where the function was called
-- that calls this one. (Not by a tail call: that would take it off the stack.)
function failure.of(status)
  local message, code, errno = failure.describe(status)
  if status == constants.status.EINVAL then
    error(message, 3)
  end
  return message, code, errno
end

return failure
