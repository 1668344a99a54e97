/** Writes stats of agents and campaigns, states of campaigns and dialers, and who will be called next. A part of the script that writes. */
export const STATES = `
-- One series for each source and campaign: the counters of one say nothing about those of another.
local MOST_SERIES, MOST_POINTS = 20, 120
function apply.stats(of, ref, campaign, stamp, at, values, ...)
  local source = source_of(stamp)
  local k, own = key(of .. '_stats:' .. name(ref)), name(source .. '|' .. campaign)
  local held = redis.call('HGET', k, own)
  local former = parts_of(held or '', SEP)
  if not newer(stamp, former[1]) then return end
  local counters, is_reset, before = { ... }, false, {}
  local names = parts_of(former[6] or '', ENTRY)
  for i = 1, #names - 1, 2 do before[names[i]] = tonumber(names[i + 1]) end
  for i = 1, #counters, 2 do
    local value = before[counters[i]]
    if value and tonumber(counters[i + 1]) < value then is_reset = true end
  end
  if not held and redis.call('HLEN', k) >= MOST_SERIES then
    local all, first, first_ms = redis.call('HGETALL', k)
    for i = 1, #all, 2 do
      local _, _, ms = split(all[i + 1])
      if not first or ms < first_ms then first, first_ms = all[i], ms end
    end
    redis.call('HDEL', k, first)
    redis.call('DEL', key(of .. '_series:' .. name(ref) .. '|' .. first))
  end
  local resets = (tonumber(former[3] or '') or 0) + (is_reset and 1 or 0)
  redis.call('HSET', k, own, table.concat({ stamp, at, resets, source, campaign, table.concat(counters, ENTRY), values }, SEP))
  local series = key(of .. '_series:' .. name(ref) .. '|' .. own)
  redis.call('RPUSH', series, at .. SEP .. (is_reset and '1' or '') .. SEP .. values)
  redis.call('LTRIM', series, -MOST_POINTS, -1)
  expire(k, ttl[of])
  expire(series, ttl[of])
  register(of .. 's', ref, of)
end

function apply.state(of, ref, status, stamp, ms, at, source, id, change)
  local k = key(of .. ':' .. name(ref))
  add_once(key(of .. '_history:' .. name(ref)), ms .. SEP .. id .. SEP .. change, 100, ttl.campaign)
  local former = redis.call('HMGET', k, 'stamp', 'status')
  if newer(stamp, former[1]) then
    if former[2] ~= status then redis.call('HSET', k, 'since', at) end
    redis.call('HSET', k, 'status', status, 'stamp', stamp, 'source', source)
  end
  expire(k, ttl.campaign)
  register(of .. 's', ref, 'campaign')
end

local STAMP = '^[^' .. SEP .. ']*' .. SEP .. '[^' .. SEP .. ']*' .. SEP .. '([^' .. SEP .. ']*)'
-- The latest values of any kind, each once: so many, and so many bytes of them.
local MOST_VALUES, MOST_VALUE_BYTES = 20, 256 * 1024
function apply.latest(kind, ref, stamp, ms, id, stale_at, json)
  local k, bytes = key('kind:' .. name(kind) .. ':' .. name(ref)), 0
  local entries = redis.call('LRANGE', k, 0, -1)
  for _, entry in ipairs(entries) do
    if string.match(entry, '^[^' .. SEP .. ']*' .. SEP .. '([^' .. SEP .. ']*)') == id then return end
    bytes = bytes + #entry
  end
  local is_stale = stale_at ~= '' and now > tonumber(stale_at)
  local entry = table.concat({ ms, id, stamp, is_stale and '1' or '', json }, SEP)
  entries[#entries + 1], bytes = entry, bytes + #entry
  redis.call('RPUSH', k, entry)
  while #entries > MOST_VALUES or (#entries > 1 and bytes > MOST_VALUE_BYTES) do
    local first = 1
    for i, other in ipairs(entries) do
      if newer(string.match(entries[first], STAMP), string.match(other, STAMP)) then first = i end
    end
    bytes = bytes - #entries[first]
    redis.call('LREM', k, 1, table.remove(entries, first))
  end
  expire(k, ttl.kind)
end

function apply.part(of, id, index, text)
  redis.call('SET', key(of .. '_part:' .. name(id) .. ':' .. index), text, 'EX', ttl[of])
end
local function drop_parts(of, id, count)
  for i = 0, (tonumber(count) or 0) - 1 do redis.call('DEL', key(of .. '_part:' .. name(id) .. ':' .. i)) end
end

function apply.preview(ref, id, parts, stamp, at)
  local k = key('preview:' .. name(ref))
  local former = redis.call('HMGET', k, 'stamp', 'id', 'parts')
  if newer(stamp, former[1]) then
    if former[2] and former[2] ~= id then drop_parts('preview', former[2], former[3]) end
    redis.call('HSET', k, 'stamp', stamp, 'id', id, 'parts', parts, 'at', at)
    expire(k, ttl.preview)
    register('campaigns', ref, 'campaign')
  elseif former[2] ~= id then
    drop_parts('preview', id, parts)
  end
end

`
