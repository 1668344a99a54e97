/**
 * The one script that writes: it applies a list of steps, each `name, number of arguments, arguments…`. One command for a whole
 * batch, since Upstash bills by the command, and one step, since handlers of other queues run at the same time.
 *
 * Keys are computed from the arguments: a value decides which other keys are touched (a CDR clears the call of whoever has it).
 * That is allowed wherever the keys are not spread over a cluster; an Upstash database is not
 * (https://upstash.com/docs/redis/overall/rediscompatibility lists EVAL as supported; its databases are single-keyspace).
 * Values are opaque text: nothing here parses or writes JSON, so no number can lose a digit. Works from Redis 6.
 */
export const APPLY = `
local prefix, now, oldest_hour = ARGV[1], tonumber(ARGV[2]), ARGV[4]
local ttl = {}
for name, seconds in string.gmatch(ARGV[3], '(%a+)=(%d+)') do ttl[name] = seconds end
local SEP = '\\31'
local function key(name) return prefix .. name end
local function expire(k, seconds) redis.call('EXPIRE', k, seconds) end

local function split(stamp)
  local source, transport, sequence, ms = string.match(stamp, '^([^|]*)|([^|]*)|([^|]*)|([^|]*)|')
  return (source or '') .. '|' .. (transport or ''), sequence or '', tonumber(ms) or 0
end
-- Sequences compare within one source and transport only; else times do. The last comparison only makes it the same everywhere.
local function newer(a, b)
  if not b or b == '' then return true end
  if a == b then return false end
  local stream_a, sequence_a, ms_a = split(a)
  local stream_b, sequence_b, ms_b = split(b)
  if stream_a == stream_b and sequence_a ~= '' and sequence_b ~= '' then return sequence_a > sequence_b end
  if ms_a ~= ms_b then return ms_a > ms_b end
  return a > b
end
local function source_of(stamp) return string.match(stamp or '', '^([^|]*)') end
local function contains(list, word) return string.find(',' .. list .. ',', ',' .. word .. ',', 1, true) ~= nil end
local function keep_latest(k, count) redis.call('ZREMRANGEBYRANK', k, 0, -count - 1) end
local function oldest(of) return now - tonumber(ttl[of]) * 1000 end
-- Names in the order of their text; a second set knows when each was last heard of, so that those are forgotten whose records are gone.
local function register(set, ref, of)
  local names, heard = key(set), key(set .. '_heard')
  redis.call('ZADD', names, 0, ref)
  redis.call('ZADD', heard, now, ref)
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', heard, '-inf', oldest(of), 'LIMIT', 0, 100)) do
    redis.call('ZREM', names, gone)
    redis.call('ZREM', heard, gone)
  end
  expire(names, ttl[of])
  expire(heard, ttl[of])
end
-- By the notification's id, which is before the separator: in a copy something else may be different, such as when it was received, or
-- that it has grown stale since.
local function add_once(k, score, id, json)
  for _, member in ipairs(redis.call('ZRANGE', k, 0, -1)) do
    if string.sub(member, 1, #id + 1) == id .. SEP then return end
  end
  redis.call('ZADD', k, score, id .. SEP .. json)
end

local apply = {}

-- A campaign in which the agent was not heard of for as long as an agent is kept.
-- Looked for once an hour: somebody may write words of chance for campaigns.
local function forget_campaigns(k, ref)
  local looked = key('looked:' .. ref)
  local last = tonumber(redis.call('GET', looked) or '')
  if last and now - last < 3600000 then return end
  redis.call('SET', looked, now, 'EX', ttl.agent)
  local fields = redis.call('HGETALL', k)
  for i = 1, #fields, 2 do
    local kind, campaign = string.match(fields[i], '^([sc]):(.*)$')
    local stamp = kind == 's' and string.match(fields[i + 1], '[^' .. SEP .. ']*$') or fields[i + 1]
    local _, _, ms = split(stamp)
    if kind and ms < oldest('agent') then
      redis.call('HDEL', k, fields[i])
      if kind == 's' then redis.call('HDEL', k, 'u:' .. campaign, 'n:' .. campaign) end
    end
  end
end

function apply.agent_status(ref, campaign, status, stamp, at, ends_call, known, may_come_before)
  -- The same extension on another dialler is somebody else: nothing there is about this one's campaigns and calls.
  local source = source_of(stamp)
  local k, own = key('agent:' .. ref), source .. '|' .. campaign
  local field = 's:' .. own
  local former = redis.call('HGET', k, field)
  local f_status, f_since, f_stamp
  if not former then forget_campaigns(k, ref) end
  if former then
    local a = string.find(former, SEP, 1, true)
    local b = string.find(former, SEP, a + 1, true)
    f_status, f_since, f_stamp = string.sub(former, 1, a - 1), string.sub(former, a + 1, b - 1), string.sub(former, b + 1)
  end
  if newer(stamp, f_stamp) then
    local since = at
    if f_status == status then since = f_since
    elseif f_status and known ~= '' and contains(known, f_status) and not contains(may_come_before, f_status) then
      redis.call('HSET', k, 'u:' .. own, f_status .. SEP .. status .. SEP .. at)
      redis.call('HINCRBY', k, 'n:' .. own, 1)
    end
    redis.call('HSET', k, field, status .. SEP .. since .. SEP .. stamp)
  end
  register('agents', ref, 'agent')
  if ends_call == '1' then
    local cleared = 'c:' .. own
    if newer(stamp, redis.call('HGET', k, cleared)) then redis.call('HSET', k, cleared, stamp) end
    local call = redis.call('HMGET', k, 'call', 'call_stamp', 'call_campaign')
    if call[1] and source_of(call[2]) == source and newer(stamp, call[2]) and (call[3] == '' or campaign == '' or call[3] == campaign) then redis.call('HDEL', k, 'call') end
  end
  expire(k, ttl.agent)
end

function apply.call(ref, campaign, source, call_ref, stamp, ms, stale, id, json)
  local k, calls = key('agent:' .. ref), key('agent_calls:' .. ref)
  add_once(calls, ms, id, json)
  keep_latest(calls, 20)
  expire(calls, ttl.agent)
  register('agents', ref, 'agent')
  if newer(stamp, redis.call('HGET', k, 'call_stamp')) then
    local over = stale == '1' or (call_ref ~= '' and redis.call('EXISTS', key('ended:' .. source .. ':' .. call_ref)) == 1)
    if not over then
      -- A status that ends it may have been written before it: they come by different queues.
      local fields = redis.call('HGETALL', k)
      for i = 1, #fields, 2 do
        local by, cleared = string.match(fields[i], '^c:([^|]*)|(.*)$')
        if by == source_of(stamp) and (campaign == '' or cleared == '' or cleared == campaign) and newer(fields[i + 1], stamp) then over = true end
      end
    end
    redis.call('HSET', k, 'call_stamp', stamp, 'call_campaign', campaign, 'call_ref', call_ref, 'call_source', source)
    if over then redis.call('HDEL', k, 'call') else redis.call('HSET', k, 'call', json) end
    if call_ref ~= '' then redis.call('SET', key('call_of:' .. source .. ':' .. call_ref), ref, 'EX', ttl.ended) end
  end
  expire(k, ttl.agent)
end

local function end_call(source, call_ref, agent)
  if call_ref == '' then return end
  redis.call('SET', key('ended:' .. source .. ':' .. call_ref), '1', 'EX', ttl.ended)
  local holders = { agent, redis.call('GET', key('call_of:' .. source .. ':' .. call_ref)) or '' }
  for _, ref in ipairs(holders) do
    local k = key('agent:' .. ref)
    local call = redis.call('HMGET', k, 'call', 'call_ref', 'call_source')
    if call[1] and call[2] == call_ref and call[3] == source then redis.call('HDEL', k, 'call') end
  end
end

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

-- What had no route: a record and its bytes by id, the latest of them, and how many there were of each type.
local MOST_OTHER, MOST_TYPES = 1000, 1000
function apply.other(id, type, parts, ms, json)
  local k, counts = key('other'), key('other_counts')
  if not redis.call('SET', key('other_record:' .. id), parts .. SEP .. json, 'NX', 'EX', ttl.other) then return end
  redis.call('ZADD', k, ms, id)
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
  local k, index = key('parked:' .. id), key('parked')
  local former = redis.call('GET', k)
  if former and not newer(stamp, string.match(former, '^(.*)' .. SEP)) then return end
  if state ~= 'parked' then
    redis.call('SET', k, stamp .. SEP, 'EX', ttl.unparked)
    redis.call('ZREM', index, id)
    return
  end
  redis.call('SET', k, stamp .. SEP .. json, 'EX', ttl.parked)
  redis.call('ZADD', index, ms, id)
  expire(index, ttl.parked)
  redis.call('ZREMRANGEBYSCORE', index, '-inf', oldest('parked'))
  for _, dropped in ipairs(redis.call('ZRANGE', index, 0, -MOST_PARKED - 1)) do redis.call('DEL', key('parked:' .. dropped)) end
  keep_latest(index, MOST_PARKED)
end

-- The relays that were ready within as many days as gaps are kept.
function apply.alive(relay, stamp, json)
  local k = key('relays')
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
  local k, index, own, latest = key('gap:' .. id), key('gaps'), key('gaps_of:' .. source), key('gap_latest')
  local field = route == '' and source or source .. '|' .. route
  local a, b = string.match(redis.call('HGET', latest, field) or '', '^([^|]*)|(.*)$')
  if sequence > (a or '') then a = sequence end
  if tonumber(to_ms) > (tonumber(b) or 0) then b = to_ms end
  redis.call('HSET', latest, field, a .. '|' .. b)
  expire(latest, ttl.gap)
  if tonumber(to_ms) < oldest('gap') or redis.call('EXISTS', k) == 1 then return end
  redis.call('SET', k, json, 'EX', ttl.gap)
  for _, set in ipairs({ index, own }) do
    redis.call('ZADD', set, to_ms, id)
    redis.call('ZREMRANGEBYSCORE', set, '-inf', oldest('gap'))
    expire(set, ttl.gap)
  end
  for _, dropped in ipairs(redis.call('ZRANGE', own, 0, -MOST_GAPS - 1)) do
    redis.call('DEL', key('gap:' .. dropped))
    redis.call('ZREM', index, dropped)
  end
  keep_latest(own, MOST_GAPS)
end

function apply.done(message, ...)
  local k = key('done:' .. message)
  local ids = { ... }
  for i = 1, #ids do redis.call('SADD', k, ids[i]) end
  expire(k, ttl.done)
end

local at = 5
while at <= #ARGV do
  local count = tonumber(ARGV[at + 1])
  local args = {}
  for i = 1, count do args[i] = ARGV[at + 1 + i] end
  apply[ARGV[at]](unpack(args))
  at = at + 2 + count
end
return 'OK'
`
