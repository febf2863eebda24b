--- lua agent.lua PATH: runs each line of its input as Lua code and prints what it returns.
local idemkey = require "idemkey"

local compile = loadstring or load

idemkey.on_warning(function() end)
_G.idemkey = idemkey
_G.store = assert(idemkey.open((...), { create = false }))
print "ready"
io.stdout:flush()
for line in io.lines() do
  print(assert(compile(line))())
  io.stdout:flush()
end
