--- The C library for LuaJIT: low_level.lua describes the functions.

local bit = require "bit"
local ffi = require "ffi"
local declarations = require "idemkey.declarations"

-- A Lua state can define them once only, but may load this file again.
if not pcall(ffi.typeof, "struct idem_claim") then
  ffi.cdef(declarations.text)
end

local SONAME = "libidemkey.so.0"
local loaded, C = pcall(ffi.load, SONAME)
if not loaded then
  error(
    "idemkey: cannot load the C library (" .. C .. "): install it by 'make install' and "
      .. "'ldconfig', or name its folder in LD_LIBRARY_PATH"
  )
end

-- Longer values take memory of the library's until they are read.
local SPACE_BYTES = 1024
local reply_t = ffi.typeof([[
  struct {
    struct idem_claim claim;
    uint64_t cursor[1];
    int32_t life; // number of the store's, if the claim is open; else 0
    char space[$];
  }
]], SPACE_BYTES)

local options_t = ffi.typeof "struct idem_options"
local requests_t = ffi.typeof "struct idem_request[?]"
local claims_t = ffi.typeof "struct idem_claim[?]"
local records_t = ffi.typeof "struct idem_record[?]"
local stats_t = ffi.typeof "struct idem_stats"
local report_t = ffi.typeof "struct idem_report"
local store_out_t = ffi.typeof "idem_store *[1]"
local bytes_t = ffi.typeof "uint8_t[?]"
local ints_t = ffi.typeof "int[?]"
local lengths_t = ffi.typeof "size_t[?]"
local strings_t = ffi.typeof "const void *[?]"
local numbers_p = ffi.typeof "const uint64_t *"

local REQUEST_SIZE = ffi.sizeof "struct idem_request"
local CLAIM_SIZE = ffi.sizeof "struct idem_claim"
local NUMBERS_OFFSET = ffi.offsetof("struct idem_stats", "max_bytes")
local NUMBER_SIZE = 8
local LOW_WORD = 0xffffffffULL

local tell_abandoned = function() end

local low = {}

function low.version()
  return ffi.string(C.idem_version())
end

function low.last_error(status)
  local errno = ffi.errno()
  return ffi.string(C.idem_last_error()), status == C.IDEM_ESYS and errno or nil
end

function low.on_abandon(fn)
  tell_abandoned = fn
end

-- Stores. The collector takes a store and its claims in any order, and the last one of them closes
-- it: their finalizers meet in a `life`, found by its number.

local lives = {}
local last_life = 0

local function leave(life)
  life.left = true
  if life.claims == 0 then
    C.idem_close(life.store)
    lives[life.number] = nil
  end
end

local function collect_store(guard)
  leave(lives[guard[0]])
end

function low.open(path, flags, max_bytes, max_value_bytes, mode, group)
  local options = options_t()
  C.idem_options_init(options, ffi.sizeof(options_t))
  options.flags = flags
  options.max_bytes = max_bytes
  options.max_value_bytes = max_value_bytes
  options.mode = mode
  options.group = group
  local out = store_out_t()
  local status = C.idem_open(path, options, out)
  if status ~= 0 then
    return nil, status
  end
  last_life = last_life + 1
  local life = { store = out[0], claims = 0, left = false, number = last_life }
  lives[last_life] = life
  return { life = life, guard = ffi.gc(ints_t(1, last_life), collect_store) }
end

-- A closed store is recognised by its number, which no other gets.
function low.close(handle)
  return C.idem_close(handle.life.store)
end

-- Replies. One costs more than the call that fills it, so they are used again; also because the
-- collector may run a finalizer that makes a call while this one's answer is being read.

local spares = {}
local spare_count = 0
local SPARES_MAX = 64

--- The claim of `reply` is open no more.
local function close_claim(reply)
  local life = lives[reply.life]
  reply.life = 0
  life.claims = life.claims - 1
  if life.left then
    leave(life)
  end
end

local function id_of(reply)
  local id = reply.claim.record.id
  return tonumber(bit.rshift(id, 32)), tonumber(bit.band(id, LOW_WORD))
end

local function collect(reply)
  if reply.life ~= 0 then
    local abandoned = C.idem_abandon(reply.claim) == 0
    close_claim(reply)
    if abandoned then
      pcall(tell_abandoned, id_of(reply))
    end
  end
  C.idem_record_free(reply.claim.record)
end

local function take()
  local reply
  if spare_count == 0 then
    reply = ffi.gc(reply_t(), collect)
  else
    reply = spares[spare_count]
    spares[spare_count] = false
    spare_count = spare_count - 1
  end
  local claim = reply.claim
  C.idem_claim_init(claim, CLAIM_SIZE)
  claim.record.buffer = reply.space
  claim.record.buffer_size = SPACE_BYTES
  reply.cursor[0] = 0
  return reply
end

local function free(reply)
  if spare_count < SPARES_MAX then
    spare_count = spare_count + 1
    spares[spare_count] = reply
  end
end
low.free = free

--- A reply that was filled, or nil and why not.
local function filled(reply, status)
  if status ~= 0 then
    free(reply)
    return nil, status
  end
  return reply
end

local function take_many(n)
  local replies = {}
  for i = 1, n do
    replies[i] = take()
  end
  return replies
end

function low.read(reply)
  local claim = reply.claim
  local record = claim.record
  local result = claim.status ~= 0 and claim.status or claim.outcome
  -- A MISMATCH has no value to tell: it is another request's.
  local has_value = record.kept ~= 0
    and record.state == C.IDEM_STATE_DONE
    and result ~= C.IDEM_MISMATCH
  local value = has_value and ffi.string(record.value, record.value_len) or nil
  local intent = ffi.string(record.intent, record.intent_len)
  local fingerprint = record.has_fingerprint ~= 0
      and ffi.string(record.fingerprint, C.IDEM_FINGERPRINT_SIZE)
    or nil
  local key = ffi.string(record.key, record.key_len)
  local id_high, id_low = id_of(reply)
  if record.owned ~= nil then
    C.idem_record_free(record)
  end
  return result, record.state, record.attempt, record.held ~= 0, record.kept ~= 0, id_high, id_low,
    tonumber(record.age_ms), tonumber(record.lease_left_ms), tonumber(record.done_age_ms),
    tonumber(record.expires_in_ms), value, intent, fingerprint, key
end

-- Claims.

local function set_request(
  request, key, fingerprint, intent, ttl_ms, lease_ms, crash_grace_ms, flags
)
  C.idem_request_init(request, REQUEST_SIZE)
  request.flags = flags
  request.key = key
  request.key_len = #key
  request.fingerprint = fingerprint
  request.intent = intent
  request.intent_len = #intent
  request.ttl_ms = ttl_ms
  request.lease_ms = lease_ms
  request.crash_grace_ms = crash_grace_ms
end

--- Notes whether `reply` has a claim to end.
local function note_claim(reply, handle)
  if reply.claim.owner ~= 0 then
    local life = handle.life
    reply.life = life.number
    life.claims = life.claims + 1
  end
end

local request = requests_t(1)

function low.claim(
  handle, key, fingerprint, intent, ttl_ms, lease_ms, crash_grace_ms, flags, wait_ms
)
  local reply = take()
  set_request(request[0], key, fingerprint, intent, ttl_ms, lease_ms, crash_grace_ms, flags)
  request[0].wait_ms = wait_ms
  local status = C.idem_claim(handle.life.store, request, reply.claim)
  note_claim(reply, handle)
  return filled(reply, status)
end

function low.claim_many(
  handle, n, keys, fingerprints, intents, ttl_ms, lease_ms, crash_grace_ms, flags
)
  local requests, claims, replies = requests_t(n), claims_t(n), take_many(n)
  for i = 1, n do
    set_request(
      requests[i - 1], keys[i], fingerprints[i] or nil, intents[i], ttl_ms, lease_ms,
      crash_grace_ms, flags
    )
    claims[i - 1] = replies[i].claim
  end
  local status = C.idem_claim_many(handle.life.store, requests, claims, n)
  for i = 1, n do
    replies[i].claim = claims[i - 1]
    note_claim(replies[i], handle)
  end
  return replies, status
end

--- What ends the claim of `reply`, if `status` says so, frees it.
local function ended(reply, status)
  if status == 0 then
    close_claim(reply)
    free(reply)
  end
  return status
end

function low.complete(reply, value, ttl_ms, flags)
  local status = C.idem_complete(reply.claim, value, #value, ttl_ms, flags)
  return ended(reply, status), reply.claim.record.kept ~= 0
end

function low.release(reply)
  return ended(reply, C.idem_release(reply.claim))
end

function low.abandon(reply)
  return ended(reply, C.idem_abandon(reply.claim))
end

function low.renew(reply, lease_ms)
  return C.idem_renew(reply.claim, lease_ms)
end

-- Keys.

function low.lookup(handle, key)
  local reply = take()
  return filled(reply, C.idem_lookup(handle.life.store, key, #key, reply.claim.record))
end

function low.lookup_many(handle, n, keys)
  local starts, lengths = strings_t(n), lengths_t(n)
  local records, statuses, replies = records_t(n), ints_t(n), take_many(n)
  for i = 1, n do
    starts[i - 1] = keys[i]
    lengths[i - 1] = #keys[i]
    records[i - 1] = replies[i].claim.record
  end
  local status = C.idem_lookup_many(handle.life.store, starts, lengths, records, statuses, n)
  if status ~= 0 then
    return nil, status
  end
  for i = 1, n do
    replies[i].claim.record = records[i - 1]
    replies[i].claim.status = statuses[i - 1]
  end
  return replies
end

function low.wait(handle, key, timeout_ms)
  local reply = take()
  return filled(reply, C.idem_wait(handle.life.store, key, #key, timeout_ms, reply.claim.record))
end

function low.scan(handle, reply)
  reply = reply or take()
  return filled(reply, C.idem_scan(handle.life.store, reply.cursor, reply.claim.record))
end

function low.forget(handle, key, flags)
  return C.idem_forget(handle.life.store, key, #key, flags)
end

function low.touch(handle, key, ttl_ms)
  return C.idem_touch(handle.life.store, key, #key, ttl_ms)
end

function low.resolve(handle, key, value, ttl_ms)
  return C.idem_resolve(handle.life.store, key, #key, value, value and #value or 0, ttl_ms)
end

-- The whole store.

function low.sweep(handle, budget)
  return tonumber(C.idem_sweep(handle.life.store, budget))
end

function low.stats(handle)
  local stats = stats_t()
  stats.size = ffi.sizeof(stats_t)
  local status = C.idem_stats(handle.life.store, stats)
  if status ~= 0 then
    return nil, status
  end
  local found, numbers = {}, ffi.cast(numbers_p, ffi.cast("const char *", stats) + NUMBERS_OFFSET)
  for i = 1, (ffi.sizeof(stats_t) - NUMBERS_OFFSET) / NUMBER_SIZE do
    found[i] = tonumber(numbers[i - 1])
  end
  return found
end

function low.check(handle)
  local report = report_t()
  report.size = ffi.sizeof(report_t)
  local status = C.idem_check(handle.life.store, report)
  return status, tonumber(report.violations), tonumber(report.records), tonumber(report.values),
    tonumber(report.heads), ffi.string(report.first)
end

function low.resize(handle, max_bytes)
  return C.idem_resize(handle.life.store, max_bytes)
end

function low.fingerprint(secret, n, parts)
  local starts, lengths = strings_t(n), lengths_t(n)
  for i = 1, n do
    starts[i - 1] = parts[i]
    lengths[i - 1] = #parts[i]
  end
  local out = bytes_t(C.IDEM_FINGERPRINT_SIZE)
  local status = C.idem_fingerprint(#secret > 0 and secret or nil, #secret, starts, lengths, n, out)
  if status ~= 0 then
    return nil, status
  end
  return ffi.string(out, C.IDEM_FINGERPRINT_SIZE)
end

return low
