--- The numbers and names of idemkey_decl.h, read from its text: none is kept here by hand.

local declarations = require "idemkey.declarations"

local text = declarations.text:gsub("/%*.-%*/", "")

--- What stands between the braces of `struct NAME` or `enum NAME`.
local function body_of(kind, name)
  return assert(text:match(kind .. " " .. name .. " (%b{});"), "no " .. kind .. " " .. name)
end

--- The values of an enum by their names without `IDEM_`: `{ EFULL = -2, ... }`.
local function enum(name)
  local values = {}
  for constant, value in body_of("enum", name):gmatch("IDEM_([%u%d_]+)%s*=%s*(-?%d+)") do
    values[constant] = tonumber(value)
  end
  return values
end

--- The names of an enum by their values; `as` makes them what Lua programs see.
local function names(values, as)
  local by_value = {}
  for name, value in pairs(values) do
    by_value[value] = as(name)
  end
  return by_value
end

--- The names of a struct's 64-bit numbers, in their order.
local function numbers(name)
  local fields = {}
  for list in body_of("struct", name):gmatch("u?int64_t ([^;]+);") do
    for field in list:gmatch("[%w_]+") do
      fields[#fields + 1] = field
    end
  end
  return fields
end

local constants = {
  status = enum "idem_status",
  limit = enum "idem_limit",
  ttl = enum "idem_ttl",
  open = enum "idem_open_flag",
  claim = enum "idem_claim_flag",
  complete = enum "idem_complete_flag",
  forget = enum "idem_forget_flag",
  stats = numbers "idem_stats",
}

--- A status as programs see it, the third result of a failure: "EFULL".
constants.codes = names(constants.status, function(name)
  return name
end)
--- "claimed", "reclaimed", ...
constants.outcomes = names(enum "idem_outcome", string.lower)
--- "pending", "orphaned" or "done".
constants.states = names(enum "idem_state", function(name)
  return name:match("^STATE_(.*)"):lower()
end)

return constants
