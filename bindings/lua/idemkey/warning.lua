--- Warnings of claims that nobody has ended, which is a mistake of the program.

local low = require "idemkey.low_level"

local warning = {}

--- Where they go: Lua 5.4's `warn`, else the standard error stream.
function warning.warn(message)
  if warn then
    warn("idemkey: ", message)
  else
    io.stderr:write("idemkey: ", message, "\n")
  end
end

function warning.abandoned(id)
  warning.warn("claim " .. id .. " was abandoned: end it by complete, release or abandon")
end

low.on_abandon(function(id_high, id_low)
  warning.abandoned(("%08x%08x"):format(id_high, id_low))
end)

return warning
