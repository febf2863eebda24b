--- The configuration: from Lua's options and a JSON file to the JSON text that C reads and checks.

local cjson = require "cjson.safe"
local idemkey = require "idemkey"

--- The principal of a profile whose requests' senders the gateway tells.
local BY_CALLER = "@caller"

local function read_file(path)
  if not path:match "%.json$" then
    return nil, "must end in .json, which Python reads, too"
  end
  local file, why = io.open(path, "rb")
  if not file then
    return nil, why
  end
  local text = file:read "*a"
  file:close()
  local found
  found, why = cjson.decode(text)
  if type(found) ~= "table" then
    return nil, why or "must hold an object"
  end
  return found
end

--- The value with what JSON has no word for put into one that C understands.
local function plain(value)
  if value == idemkey.FOREVER then
    return "forever"
  end
  if type(value) ~= "table" then
    return value
  end
  local copy = {}
  for name, each in pairs(value) do
    copy[name] = plain(each)
  end
  return copy
end

--- The text of `options`, laid over the file that `options.config` names; and the function that was
-- given as `principal`. Or nil and what is wrong.
return function(options)
  local whole = {}
  if options.config ~= nil then
    local found, why = read_file(options.config)
    if not found then
      return nil, ("config %s: %s"):format(options.config, why)
    end
    whole = found
  end
  for name, value in pairs(options) do
    whole[name] = plain(value)
  end
  whole.config = nil
  if whole.principal == nil then
    return nil,
      "principal is missing: name the request header that says who sends a request "
        .. '("Authorization"), or give a function, or ngx.null where all callers are one: '
        .. "callers of one principal get each other's responses"
  end
  local caller
  if type(whole.principal) == "function" then
    caller, whole.principal = whole.principal, BY_CALLER
  end
  if whole.routes and next(whole.routes) == nil then
    whole.routes = nil -- which JSON would take for an object
  end
  local text, why = cjson.encode(whole)
  if not text then
    return nil, "the configuration has what JSON has no word for: " .. why
  end
  return text, caller
end
