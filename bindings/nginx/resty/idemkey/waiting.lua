--- Duplicates that wait for the first one's response. One request of a worker looks after a key for
-- all of them, and the others sleep until it has news.

local semaphore = require "ngx.semaphore"
local http = require "resty.idemkey.http"

local WAIT = http.C.IDEM_HTTP_WAIT
local MS_PER_SECOND = 1000
local FIRST_PAUSE_S = 0.001
local LAST_PAUSE_S = 0.05
-- After so long without a look, another request takes the place of the one that nginx has ended.
local PATIENCE_S = 1

--- How long the exchange may still wait, at most `limit` seconds.
local function left(exchange, limit)
  return math.min(limit, tonumber(exchange.decision.retry_after_ms) / MS_PER_SECOND)
end

--- Looks after the key until there is news for this exchange.
local function look_after(group, exchange)
  local pause = FIRST_PAUSE_S
  repeat
    group.looked_at = ngx.now()
    ngx.sleep(left(exchange, pause))
    pause = math.min(2 * pause, LAST_PAUSE_S)
  until exchange:decide() ~= WAIT
end

--- Waits until the exchange's action is another than WAIT, which its profile bounds.
return function(exchange)
  local groups = exchange.engine.waiting -- by the key's id
  while exchange.decision.action == WAIT do
    local id = exchange:id()
    local group = groups[id]
    if group and ngx.now() - group.looked_at < PATIENCE_S then
      group.count = group.count + 1
      group.news:wait(left(exchange, PATIENCE_S))
      group.count = group.count - 1
      exchange:decide()
    else
      group = { news = assert(semaphore.new()), count = 0 }
      groups[id] = group
      look_after(group, exchange)
      if groups[id] == group then
        groups[id] = nil
      end
      if group.count > 0 then
        group.news:post(group.count)
      end
    end
  end
end
