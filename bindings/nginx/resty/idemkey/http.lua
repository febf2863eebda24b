--- The HTTP engine of the C library: idemkey_http_decl.h is the manual of what it decides.
--
-- An engine is a configuration on an open store; an exchange is one request with its response. Its
-- calls decide, and leave in `exchange.decision` what is to be done and why, until the next call.

local bit = require "bit"
local ffi = require "ffi"
local declarations = require "resty.idemkey.declarations"
require "idemkey" -- declares what the engine's declarations refer to

-- A Lua state can define them once only, but may load this file again.
if not pcall(ffi.typeof, "struct idem_http_decision") then
  ffi.cdef(declarations.text)
end

local SONAME = "libidemkey_http.so.0"
local loaded, C = pcall(ffi.load, SONAME)
if not loaded then
  error(
    "resty.idemkey: cannot load the C library (" .. C .. "): install it by 'make install' and "
      .. "'ldconfig', or name its folder in LD_LIBRARY_PATH"
  )
end

local decision_t = ffi.typeof "struct idem_http_decision"
local DECISION_SIZE = ffi.sizeof(decision_t)
local engine_out_t = ffi.typeof "idem_http *[1]"
local exchange_out_t = ffi.typeof "idem_http_exchange *[1]"
local ERROR_BYTES = 1024
local error_t = ffi.typeof("char[?]")
local FIELD = "([^:\r\n]+): ([^\r\n]*)\r\n"

local Exchange = {}
Exchange.__index = Exchange

--- What fails is a call that is not due, a malformed response, or a lack of memory; what the store
-- refuses is no error but a decision.
local function check(exchange, status)
  if status == C.IDEM_OK then
    return exchange.decision.action
  end
  error(
    status == C.IDEM_EINVAL and "a call is not due, or the response is malformed"
      or "not enough memory",
    3
  )
end

--- A piece of the request's body: NEED_BODY, or REJECT as soon as it is too large.
function Exchange.feed(exchange, piece)
  return (check(exchange, C.idem_http_body(exchange.pointer, piece, #piece, exchange.decision)))
end

--- The body is complete, or a wait may be over: RUN, WAIT, REPLAY, REJECT or PASS.
function Exchange.decide(exchange)
  return (check(exchange, C.idem_http_decide(exchange.pointer, exchange.decision)))
end

--- A whole response: records it, or gives the key back. `fields` are lines that end in CR LF. SEND.
function Exchange.respond(exchange, status, fields, body)
  local pointer, decision = exchange.pointer, exchange.decision
  check(exchange, C.idem_http_response(pointer, status, fields, #fields, 0, decision))
  check(exchange, C.idem_http_data(pointer, body, #body, decision))
  return (check(exchange, C.idem_http_finish(pointer, decision)))
end

--- There will be no response, and nobody knows what has happened.
function Exchange.abandon(exchange)
  C.idem_http_abort(exchange.pointer, C.IDEM_HTTP_ABANDON)
end

--- Ends the exchange; a claim that it still holds is abandoned. So does the collector, later.
function Exchange.free(exchange)
  C.idem_http_free(ffi.gc(exchange.pointer, nil))
  exchange.pointer = nil
end

--- The answer's body.
function Exchange.body(exchange)
  local decision = exchange.decision
  return ffi.string(decision.body, decision.body_len)
end

--- For `for name, value in exchange:fields() do`: the answer's header fields, or those that the
-- response lacks.
function Exchange.fields(exchange)
  local decision = exchange.decision
  return ffi.string(decision.fields, decision.fields_len):gmatch(FIELD)
end

--- The key's public id, which another attempt at it shares, but no other key; nil without one.
function Exchange.id(exchange)
  local id = exchange.decision.id
  return id ~= 0 and bit.tohex(id) or nil
end

local Engine = {}
Engine.__index = Engine

--- An engine of a configuration in JSON; an error says which member of it is wrong, and why.
function Engine.new(store, config)
  local out, why = engine_out_t(), error_t(ERROR_BYTES)
  local status =
    C.idem_http_new(store._handle.life.store, config, #config, out, why, ERROR_BYTES)
  if status ~= C.IDEM_OK then
    return nil, status == C.IDEM_EINVAL and ffi.string(why) or "not enough memory"
  end
  local engine = setmetatable({
    pointer = ffi.gc(out[0], C.idem_http_delete),
    store = store, -- keeps it open
    wanted = {},
    waiting = {}, -- requests that wait: see waiting.lua
  }, Engine)
  local name = C.idem_http_wanted(out[0])
  while name[0] ~= 0 do
    local text = ffi.string(name)
    engine.wanted[#engine.wanted + 1] = text
    name = name + #text + 1
  end
  engine.wants_principal = C.idem_http_wants_principal(out[0]) ~= 0
  return engine
end

--- Begins an exchange: PASS, NEED_BODY or REJECT. `path` is as on the request line; the principal,
-- text or nil, is looked at only where the engine wants it.
function Engine.begin(engine, method, path, query, fields, principal)
  local decision, out = decision_t(), exchange_out_t()
  decision.size = DECISION_SIZE
  local exchange = setmetatable({ engine = engine, decision = decision }, Exchange)
  check(
    exchange,
    C.idem_http_begin(
      engine.pointer, method, #method, path, #path, query, #query, fields, #fields, principal,
      principal and #principal or C.IDEM_HTTP_NO_ONE, out, decision
    )
  )
  exchange.pointer = ffi.gc(out[0], C.idem_http_free)
  return exchange
end

return { C = C, Engine = Engine }
