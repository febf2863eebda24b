--- What the engine is told of nginx's request.

local http = require "resty.idemkey.http"

local NEED_BODY = http.C.IDEM_HTTP_NEED_BODY
local ALL = 0 -- of how many header fields nginx tells
local PIECE_BYTES = 65536

local request = {}

--- Begins the exchange of the request that is being served.
function request.begin(engine, caller)
  local headers, lines = ngx.req.get_headers(ALL), {}
  for _, name in ipairs(engine.wanted) do
    local values = headers[name]
    for _, value in ipairs(type(values) == "table" and values or { values }) do
      lines[#lines + 1] = name .. ": " .. value .. "\r\n"
    end
  end
  local path, query = ngx.var.request_uri:match "^([^?]*)%??(.*)$"
  local principal = engine.wants_principal and caller() or nil
  return (engine:begin(ngx.req.get_method(), path, query, table.concat(lines), principal))
end

--- Feeds the request's body, as far as it is wanted.
local function feed(exchange)
  ngx.req.read_body()
  local body = ngx.req.get_body_data()
  if body then
    return exchange:feed(body)
  end
  local path = ngx.req.get_body_file()
  if not path then
    return NEED_BODY -- it is empty
  end
  local file = assert(io.open(path, "rb"))
  local action = NEED_BODY
  repeat
    local piece = file:read(PIECE_BYTES)
    if piece then
      action = exchange:feed(piece)
    end
  until not piece or action ~= NEED_BODY
  file:close()
  return action
end

--- Feeds the body and decides.
function request.decide(exchange)
  if feed(exchange) == NEED_BODY then
    exchange:decide()
  end
end

return request
