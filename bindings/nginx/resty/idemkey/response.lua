--- Sending what the engine or the upstream has answered.

local add_header = require("ngx.resp").add_header

local KEEP = "x-idemkey-keep"
-- Of one connection: nginx makes them for its own.
local HOP_BY_HOP = {
  ["connection"] = true,
  ["keep-alive"] = true,
  ["proxy-connection"] = true,
  ["te"] = true,
  ["trailer"] = true,
  ["transfer-encoding"] = true,
  ["upgrade"] = true,
}

--- What nginx says of an upstream that has not answered in full, and one gateway to another.
local NO_ANSWER = { [499] = true, [502] = true, [504] = true }

local response = {}

--- Whether a captured response is complete. If not, nobody knows what the upstream has done.
function response.is_complete(res)
  return not (res.truncated or NO_ANSWER[res.status])
end

local function send(status, body)
  ngx.status = status
  ngx.print(body)
  return (ngx.eof())
end

--- The header fields of a captured response, in lines.
function response.lines(res)
  local lines = {}
  for name, values in pairs(res.header) do
    for _, value in ipairs(type(values) == "table" and values or { values }) do
      lines[#lines + 1] = name .. ": " .. value .. "\r\n"
    end
  end
  return table.concat(lines)
end

--- Sends what the engine answers in the upstream's place.
function response.answer(exchange)
  for name, value in exchange:fields() do
    add_header(name, value)
  end
  send(exchange.decision.status, exchange:body())
end

--- Sends a captured response; if it was recorded, with what the decision of `exchange` adds to it.
function response.forward(res, exchange)
  local strips = exchange and exchange.decision.strip ~= 0
  for name, values in pairs(res.header) do
    local lower = name:lower()
    if not (HOP_BY_HOP[lower] or (strips and lower == KEEP)) then
      add_header(name, values)
    end
  end
  if exchange then
    for name, value in exchange:fields() do
      add_header(name, value)
    end
  end
  if not ngx.header["Content-Length"] and ngx.req.get_method() ~= "HEAD" then
    ngx.header["Content-Length"] = #res.body
  end
  send(res.status, res.body)
end

--- Tells the client that the upstream has not answered in full.
function response.fail(res)
  if res.truncated then
    return ngx.exit(NO_ANSWER[res.status] and res.status or ngx.HTTP_BAD_GATEWAY)
  end
  return response.forward(res)
end

return response
