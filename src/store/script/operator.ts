/** What an operator looks at: packets without a route, what was parked, relays, and gaps. A part of the script that writes. */
export const OPERATOR = `
-- What had no route: a record and its bytes by id, the latest of them, and how many there were of each type.
local MOST_OTHER, MOST_TYPES = 1000, 1000
function apply.other(id, type, parts, ms, json)
  local k, counts, short = key('other'), key('other_counts'), name(id)
  if not redis.call('SET', key('other_record:' .. short), parts .. SEP .. json, 'NX', 'EX', ttl.other) then return end
  redis.call('ZADD', k, ms, short)
  expire(k, ttl.other)
  for _, dropped in ipairs(redis.call('ZRANGE', k, 0, -MOST_OTHER - 1)) do
    local record = key('other_record:' .. dropped)
    drop_parts('other', dropped, string.match(redis.call('GET', record) or '', '^%d+'))
    redis.call('DEL', record)
  end
  keep_latest(k, MOST_OTHER)
  -- Somebody may write words of chance for types.
  if redis.call('HEXISTS', counts, type) == 0 and redis.call('HLEN', counts) >= MOST_TYPES then type = 'unknown/unknown' end
  redis.call('HINCRBY', counts, type, 1)
end

-- What the relay put aside: by id, the last thing said of it. What was taken from there leaves a mark, for what comes late.
local MOST_PARKED = 10000
function apply.parked(id, state, stamp, ms, json)
  local short = name(id)
  local k, index = key('parked:' .. short), key('parked')
  local former = redis.call('GET', k)
  if former and not newer(stamp, string.match(former, '^(.*)' .. SEP)) then return end
  if state ~= 'parked' then
    redis.call('SET', k, stamp .. SEP, 'EX', ttl.unparked)
    redis.call('ZREM', index, short)
    return
  end
  redis.call('SET', k, stamp .. SEP .. json, 'EX', ttl.parked)
  redis.call('ZADD', index, ms, short)
  expire(index, ttl.parked)
  purge(index, 'parked')
  for _, dropped in ipairs(redis.call('ZRANGE', index, 0, -MOST_PARKED - 1)) do redis.call('DEL', key('parked:' .. dropped)) end
  keep_latest(index, MOST_PARKED)
end

-- The relays that were ready within as many days as gaps are kept.
function apply.alive(relay, stamp, json)
  local k = key('relays')
  relay = name(relay)
  if not newer(stamp, string.match(redis.call('HGET', k, relay) or '', '^(.*)' .. SEP)) then return end
  redis.call('HSET', k, relay, stamp .. SEP .. json)
  expire(k, ttl.gap)
  local all = redis.call('HGETALL', k)
  for i = 1, #all, 2 do
    local _, _, ms = split(all[i + 1])
    if ms < oldest('gap') then redis.call('HDEL', k, all[i]) end
  end
end

-- Gaps of PubSub, and the greatest sequence of them per source (per route of it, where only that was given up).
local MOST_GAPS = 1000
function apply.gap(id, source, route, sequence, to_ms, json)
  local short = name(id)
  local k, index, own, latest = key('gap:' .. short), key('gaps'), key('gaps_of:' .. name(source)), key('gap_latest')
  local field = name(route == '' and source or source .. '|' .. route)
  local a, b = string.match(redis.call('HGET', latest, field) or '', '^([^|]*)|(.*)$')
  if sequence > (a or '') then a = sequence end
  if tonumber(to_ms) > (tonumber(b) or 0) then b = to_ms end
  redis.call('HSET', latest, field, a .. '|' .. b)
  expire(latest, ttl.gap)
  if tonumber(to_ms) < oldest('gap') or redis.call('EXISTS', k) == 1 then return end
  redis.call('SET', k, json, 'EX', ttl.gap)
  for _, set in ipairs({ index, own }) do
    redis.call('ZADD', set, to_ms, short)
    purge(set, 'gap')
    expire(set, ttl.gap)
  end
  for _, dropped in ipairs(redis.call('ZRANGE', own, 0, -MOST_GAPS - 1)) do
    redis.call('DEL', key('gap:' .. dropped))
    redis.call('ZREM', index, dropped)
  end
  keep_latest(own, MOST_GAPS)
end

`
