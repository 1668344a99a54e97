-- Data for operators: packets without a route, relays and gaps.

-- Notifications without a route: a record and its bytes by id, the list of the latest, and a count per type.
local MAX_OTHER, MAX_TYPES = 1000, 1000
function apply.other(of)
  local k, counts, short, type = key('other'), key('other_counts'), name(of.id), of.type
  local record = key('other_record:' .. short)
  if read(record) then return end
  if not redis.call('ZSCORE', k, short) then
    -- A dialler might send random words as types.
    if redis.call('HEXISTS', counts, type) == 0 and redis.call('HLEN', counts) >= MAX_TYPES then type = 'unknown/unknown' end
    redis.call('HINCRBY', counts, type, 1)
  end
  write(record, of.parts .. SEP .. of.json, ttl.other)
  redis.call('ZADD', k, of.ms, short)
  expire(k, ttl.other)
  for _, dropped in ipairs(redis.call('ZRANGE', k, 0, -MAX_OTHER - 1)) do
    local own = key('other_record:' .. dropped)
    drop_parts('other', dropped, string.match(read(own) or '', '^%d+'))
    drop(own)
  end
  keep_latest(k, MAX_OTHER)
  note_change(of.change)
end

-- The relays that were ready within the expiry of gaps, each with the calls whose CDRs it consumes.
function apply.alive(of)
  local relays, relay = open(key('relays')), name(of.relay)
  if not newer(of.stamp, string.match(relays.fields[relay] or '', '^[^' .. SEP .. ']*')) then return end
  set(relays, relay, of.stamp .. SEP .. of.takes .. SEP .. of.json, ttl.gap)
  for other, value in pairs(relays.fields) do
    local _, _, ms = split(value)
    if ms < oldest('gap') then set(relays, other, nil, ttl.gap) end
  end
  note_change(of.change)
end

-- Pub/Sub gaps, and the greatest sequence of the gaps of each source (of a route of it, if only that route lost notifications).
local MAX_GAPS = 1000
function apply.gap(of)
  local short, latest = name(of.id), open(key('gap_latest'))
  local k, index, own = key('gap:' .. short), key('gaps'), key('gaps_of:' .. name(of.source))
  local field = name(of.route == '' and of.source or of.source .. '|' .. of.route)
  local a, b = string.match(latest.fields[field] or '', '^([^|]*)|(.*)$')
  if of.sequence > (a or '') then a = of.sequence end
  if tonumber(of.to_ms) > (tonumber(b) or 0) then b = of.to_ms end
  set(latest, field, a .. '|' .. b, ttl.gap)
  if tonumber(of.to_ms) < oldest('gap') or read(k) then return end
  write(k, of.json, ttl.gap)
  for _, set_key in ipairs({ index, own }) do
    redis.call('ZADD', set_key, of.to_ms, short)
    purge(set_key, 'gap')
    expire(set_key, ttl.gap)
  end
  for _, dropped in ipairs(redis.call('ZRANGE', own, 0, -MAX_GAPS - 1)) do
    drop(key('gap:' .. dropped))
    redis.call('ZREM', index, dropped)
  end
  keep_latest(own, MAX_GAPS)
  note_change(of.change)
end

function apply.done(of)
  local k = key('done:' .. of.message)
  redis.call('SADD', k, unpack(of.ids))
  expire(k, ttl.done)
end
