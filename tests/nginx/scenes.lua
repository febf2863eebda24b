--- Serves the scene that the request names, each by a gateway of its own: see tests/http/scene.py.

local cjson = require "cjson"
local idemkey = require "idemkey"
local resty_idemkey = require "resty.idemkey"

local MAX_BYTES = 4 * 2 ^ 20
-- A worker serves many scenes, a few at a time.
local KEPT_SCENES = 16

local scenes, count = {}, 0

local function open(name)
  local folder = os.getenv "SCENES" .. "/" .. name
  local file = assert(io.open(folder .. "/setting.json"))
  local options = cjson.decode(file:read "*a")
  file:close()
  local store = assert(idemkey.open(folder .. "/region.idem", { max_bytes = MAX_BYTES }))
  return resty_idemkey.new(store, options)
end

return function(location)
  local name = ngx.var.http_x_scene
  if not name then -- the server is asked whether it is up
    return ngx.exec(location)
  end
  if not scenes[name] then
    if count == KEPT_SCENES then
      scenes, count = {}, 0
      collectgarbage()
    end
    scenes[name], count = open(name), count + 1
  end
  scenes[name]:capture(location)
end
