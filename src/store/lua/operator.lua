-- Data for operators: packets without a route, relays and gaps.

-- Notifications without a route: a record and its bytes by id, the list of the latest, and a count per type.
local MAX_OTHER, MAX_TYPES = 1000, 1000
function apply.other(args)
  local k, counts, short, type = key('other'), key('other_counts'), name(args.id), args.type
  local record = key('other_record:' .. short)
  if read(record) then return end
  if not redis.call('ZSCORE', k, short) then
    -- A dialler might send random words as types.
    if redis.call('HEXISTS', counts, type) == 0 and redis.call('HLEN', counts) >= MAX_TYPES then type = 'unknown/unknown' end
    redis.call('HINCRBY', counts, type, 1)
  end
  write(record, args.parts .. SEP .. args.json, ttl.other)
  redis.call('ZADD', k, args.ms, short)
  expire(k, ttl.other)
  for _, dropped in ipairs(redis.call('ZRANGE', k, 0, -MAX_OTHER - 1)) do
    local own = key('other_record:' .. dropped)
    drop_parts('other', dropped, string.match(read(own) or '', '^%d+'))
    drop(own)
  end
  keep_latest(k, MAX_OTHER)
  note_change(args.change)
end

-- The relays that were ready within the expiry of gaps, each with the calls whose CDRs it consumes.
function apply.alive(args)
  local relays, relay = open(key('relays')), name(args.relay)
  if not newer(args.stamp, string.match(relays.fields[relay] or '', '^[^' .. SEP .. ']*')) then return end
  set(relays, relay, args.stamp .. SEP .. args.takes .. SEP .. args.json, ttl.gap)
  for other, value in pairs(relays.fields) do
    local _, _, ms = split(value)
    if ms < oldest('gap') then set(relays, other, nil, ttl.gap) end
  end
  note_change(args.change)
end

-- Pub/Sub gaps, and the greatest sequence of the gaps of each source (of a route of it, if only that route lost notifications).
local MAX_GAPS = 1000
function apply.gap(args)
  local short, latest = name(args.id), open(key('gap_latest'))
  local k, index, own = key('gap:' .. short), key('gaps'), key('gaps_of:' .. name(args.source))
  local field = name(args.route == '' and args.source or args.source .. '|' .. args.route)
  local a, b = string.match(latest.fields[field] or '', '^([^|]*)|(.*)$')
  if args.sequence > (a or '') then a = args.sequence end
  if tonumber(args.to_ms) > (tonumber(b) or 0) then b = args.to_ms end
  set(latest, field, a .. '|' .. b, ttl.gap)
  if tonumber(args.to_ms) < oldest('gap') or read(k) then return end
  write(k, args.json, ttl.gap)
  for _, set_key in ipairs({ index, own }) do
    redis.call('ZADD', set_key, args.to_ms, short)
    purge(set_key, 'gap')
    expire(set_key, ttl.gap)
  end
  for _, dropped in ipairs(redis.call('ZRANGE', own, 0, -MAX_GAPS - 1)) do
    drop(key('gap:' .. dropped))
    redis.call('ZREM', index, dropped)
  end
  keep_latest(own, MAX_GAPS)
  note_change(args.change)
end

function apply.done(args)
  local k = key('done:' .. args.message)
  redis.call('SADD', k, unpack(args.ids))
  expire(k, ttl.done)
end
