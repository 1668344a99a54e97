/** CDRs, their revisions, and how many there were of each kind in each hour. A part of the script that writes. */
export const CDRS = `
-- A count's name begins with its hour. The first of a kind in an hour clears away the hours that are no longer kept.
local function count_cdr(campaign, field, by)
  if field < oldest_hour then return end
  local k = key('counts:' .. campaign)
  local count = redis.call('HINCRBY', k, field, by)
  if count <= 0 then redis.call('HDEL', k, field) end
  if count == 1 and by == 1 then
    for _, former in ipairs(redis.call('HKEYS', k)) do
      if former < oldest_hour then redis.call('HDEL', k, former) end
    end
  end
  expire(k, ttl.cdr)
end
local function index_cdr(id, ms, keys, first)
  for i = first, #keys do
    local k = key('cdrs_by:' .. keys[i])
    redis.call('ZADD', k, ms, id)
    redis.call('ZREMRANGEBYSCORE', k, '-inf', oldest('cdr'))
    expire(k, ttl.cdr)
  end
end

function apply.cdr(id, source, call_ref, agent, stamp, ms, dialed_ms, content, json, campaign, count_field, ...)
  end_call(source, call_ref, agent)
  -- Milliseconds for seconds, or a wrong clock: it must not lie in front of all others for ever.
  if tonumber(dialed_ms) > now + 86400000 then dialed_ms = ARGV[2] end
  local k, revisions = key('cdr:' .. id), key('cdr_revisions:' .. id)
  local former = redis.call('HMGET', k, 'content', 'stamp', 'json', 'campaign', 'count', 'ms')
  if former[1] == content then return end
  if former[1] then
    if redis.call('HEXISTS', revisions, content) == 1 then return end
    redis.call('HSET', k, 'revised', '1')
    if not newer(stamp, former[2]) then
      redis.call('HSET', revisions, content, ms .. SEP .. json)
      expire(revisions, ttl.cdr)
      return
    end
    redis.call('HSET', revisions, former[1], former[6] .. SEP .. former[3])
    expire(revisions, ttl.cdr)
    count_cdr(former[4], former[5], -1)
  elseif tonumber(dialed_ms) > oldest('cdr') then
    -- One that is older than what is kept is found by its id only.
    redis.call('ZADD', key('cdrs'), dialed_ms, id)
  end
  redis.call('HSET', k, 'content', content, 'stamp', stamp, 'json', json, 'campaign', campaign, 'count', count_field, 'ms', ms)
  expire(k, ttl.cdr)
  redis.call('ZREMRANGEBYSCORE', key('cdrs'), '-inf', oldest('cdr'))
  expire(key('cdrs'), ttl.cdr)
  index_cdr(id, dialed_ms, { ... }, 1)
  count_cdr(campaign, count_field, 1)
  if campaign ~= '' then register('campaigns', campaign, 'campaign') end
end

`
