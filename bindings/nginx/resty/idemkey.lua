--- Idempotency keys in nginx: each request with a key runs once, whatever happens to clients,
-- connections and workers.
--
--   init_worker_by_lua_block {
--     local store = assert(require("idemkey").open("/dev/shm/gateway.idem"))
--     gateway = require("resty.idemkey").new(store, {
--       profile = "stripe",
--       principal = "Authorization",
--     })
--   }
--   location / {
--     content_by_lua_block { gateway:capture("/upstream") }
--   }
--   location = /upstream {
--     internal;
--     proxy_pass http://backend$request_uri;
--     proxy_ignore_client_abort on;
--   }
--
-- docs/nginx.md is the manual.

local config = require "resty.idemkey.config"
local http = require "resty.idemkey.http"
local request = require "resty.idemkey.request"
local response = require "resty.idemkey.response"
local wait = require "resty.idemkey.waiting"

local C = http.C
--- Tells the upstream which attempt at the key this is: from 2 on an earlier one's fate is unknown.
local ATTEMPT = "X-Idemkey-Attempt"
--- The methods that ngx.location.capture knows.
local METHODS = {}
for name in ("GET HEAD POST PUT PATCH DELETE OPTIONS TRACE MKCOL COPY MOVE PROPFIND PROPPATCH "
  .. "LOCK UNLOCK"):gmatch "%u+" do
  METHODS[name] = ngx["HTTP_" .. name]
end

local Gateway = {}
Gateway.__index = Gateway

local function nothing() end

--- Runs the upstream and records its response. The response, and whether it is complete.
local function run(exchange, location)
  local name = ngx.req.get_method()
  local method = METHODS[name] or error("ngx.location.capture knows no method " .. name)
  ngx.req.set_header(ATTEMPT, exchange.decision.attempt)
  local res = ngx.location.capture(location, { method = method, always_forward_body = true })
  local is_complete = response.is_complete(res)
  if is_complete then
    exchange:respond(res.status, response.lines(res), res.body)
  end
  return res, is_complete
end

--- Serves the request in content_by_lua: `location` names the internal location that passes it to
-- the upstream. Where idempotency does not apply, that is all.
function Gateway.capture(gateway, location)
  ngx.on_abort(nothing) -- the client's leaving ends nothing
  ngx.req.clear_header(ATTEMPT)
  local exchange = request.begin(gateway.engine, gateway.caller)
  if exchange.decision.action == C.IDEM_HTTP_NEED_BODY then
    request.decide(exchange)
    wait(exchange)
  end
  local action = exchange.decision.action
  if action == C.IDEM_HTTP_RUN then
    local ok, res, is_complete = pcall(run, exchange, location)
    if ok and is_complete then
      response.forward(res, exchange)
    end
    exchange:free() -- what was not recorded is abandoned
    if not ok then
      error(res, 0)
    elseif not is_complete then
      response.fail(res)
    end
  elseif action == C.IDEM_HTTP_PASS then
    exchange:free()
    return ngx.exec(location)
  else
    response.answer(exchange)
    exchange:free()
  end
end

local idemkey = {}

--- A gateway on an open store, made in init_worker. `options` are those of docs/http.md: `profile`,
-- `principal`, `routes`, any field of a profile, and `config`, the path of a JSON file with them.
-- A wrong one is an error.
function idemkey.new(store, options)
  local text, caller = config(options)
  local engine, why
  if text then
    engine, why = http.Engine.new(store, text)
  else
    why = caller
  end
  if not engine then
    error("resty.idemkey: " .. why, 2)
  end
  if engine.wants_principal and not caller then
    error('resty.idemkey: principal is "@caller" and must be a function here', 2)
  end
  return setmetatable({ engine = engine, caller = caller }, Gateway)
end

return idemkey
