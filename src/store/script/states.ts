/** Stats of agents and campaigns, states of campaigns and dialers, and who will be called next. A part of the script that writes. */
export const STATES = `
function apply.stats(of, ref, stamp, ms, at, id, values, ...)
  local k, series = key(of .. '_stats:' .. ref), key(of .. '_series:' .. ref)
  if not newer(stamp, redis.call('HGET', k, 'stamp')) then return end
  local counters, reset = { ... }, ''
  for i = 1, #counters, 2 do
    local field = 'v:' .. counters[i]
    local former = tonumber(redis.call('HGET', k, field) or '')
    if former and tonumber(counters[i + 1]) < former then reset = '1' end
    redis.call('HSET', k, field, counters[i + 1])
  end
  if reset == '1' then redis.call('HINCRBY', k, 'resets', 1) end
  redis.call('HSET', k, 'stamp', stamp, 'at', at, 'values', values)
  redis.call('ZADD', series, ms, id .. SEP .. at .. SEP .. reset .. SEP .. values)
  keep_latest(series, 120)
  expire(k, ttl[of])
  expire(series, ttl[of])
  register(of .. 's', ref, of)
end

function apply.state(of, ref, status, stamp, ms, at, source, id, change)
  local k, history = key(of .. ':' .. ref), key(of .. '_history:' .. ref)
  add_once(history, ms, id, change)
  keep_latest(history, 100)
  expire(history, ttl.campaign)
  local former = redis.call('HMGET', k, 'stamp', 'status')
  if newer(stamp, former[1]) then
    if former[2] ~= status then redis.call('HSET', k, 'since', at) end
    redis.call('HSET', k, 'status', status, 'stamp', stamp, 'source', source)
  end
  expire(k, ttl.campaign)
  register(of .. 's', ref, 'campaign')
end

function apply.part(of, id, index, text)
  redis.call('SET', key(of .. '_part:' .. id .. ':' .. index), text, 'EX', ttl[of])
end
local function drop_parts(of, id, count)
  for i = 0, (tonumber(count) or 0) - 1 do redis.call('DEL', key(of .. '_part:' .. id .. ':' .. i)) end
end

function apply.preview(ref, id, parts, stamp, at)
  local k = key('preview:' .. ref)
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
