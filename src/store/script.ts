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
local prefix, now = ARGV[1], tonumber(ARGV[2])
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
local function contains(list, word) return string.find(',' .. list .. ',', ',' .. word .. ',', 1, true) ~= nil end
local function keep_latest(k, count) redis.call('ZREMRANGEBYRANK', k, 0, -count - 1) end
local function register(set, ref) redis.call('ZADD', key(set), 0, ref) end

local apply = {}

function apply.agent_status(ref, campaign, status, stamp, at, ends_call, known, may_come_before)
  local k, field = key('agent:' .. ref), 's:' .. campaign
  local former = redis.call('HGET', k, field)
  local f_status, f_since, f_stamp
  if former then
    local a = string.find(former, SEP, 1, true)
    local b = string.find(former, SEP, a + 1, true)
    f_status, f_since, f_stamp = string.sub(former, 1, a - 1), string.sub(former, a + 1, b - 1), string.sub(former, b + 1)
  end
  if newer(stamp, f_stamp) then
    local since = at
    if f_status == status then since = f_since
    elseif f_status and known ~= '' and contains(known, f_status) and not contains(may_come_before, f_status) then
      redis.call('HSET', k, 'u:' .. campaign, f_status .. SEP .. status .. SEP .. at)
      redis.call('HINCRBY', k, 'n:' .. campaign, 1)
    end
    redis.call('HSET', k, field, status .. SEP .. since .. SEP .. stamp)
    register('agents', ref)
  end
  if ends_call == '1' then
    local cleared = 'c:' .. campaign
    if newer(stamp, redis.call('HGET', k, cleared)) then redis.call('HSET', k, cleared, stamp) end
    local call = redis.call('HMGET', k, 'call', 'call_stamp', 'call_campaign')
    if call[1] and newer(stamp, call[2]) and (call[3] == '' or campaign == '' or call[3] == campaign) then redis.call('HDEL', k, 'call') end
  end
  expire(k, ttl.agent)
end

function apply.call(ref, campaign, source, call_ref, stamp, ms, stale, json)
  local k, calls = key('agent:' .. ref), key('agent_calls:' .. ref)
  redis.call('ZADD', calls, ms, json)
  keep_latest(calls, 20)
  expire(calls, ttl.agent)
  register('agents', ref)
  if newer(stamp, redis.call('HGET', k, 'call_stamp')) then
    local over = stale == '1' or (call_ref ~= '' and redis.call('EXISTS', key('ended:' .. source .. ':' .. call_ref)) == 1)
    if not over then
      -- A status that ends it may have been written before it: they come by different queues.
      local fields = redis.call('HGETALL', k)
      for i = 1, #fields, 2 do
        local cleared = string.match(fields[i], '^c:(.*)$')
        if cleared and (campaign == '' or cleared == '' or cleared == campaign) and newer(fields[i + 1], stamp) then over = true end
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
  register(of .. 's', ref)
end

function apply.state(of, ref, status, stamp, ms, at, source, change)
  local k, history = key(of .. ':' .. ref), key(of .. '_history:' .. ref)
  redis.call('ZADD', history, ms, change)
  keep_latest(history, 100)
  expire(history, ttl.campaign)
  local former = redis.call('HMGET', k, 'stamp', 'status')
  if newer(stamp, former[1]) then
    if former[2] ~= status then redis.call('HSET', k, 'since', at) end
    redis.call('HSET', k, 'status', status, 'stamp', stamp, 'source', source)
  end
  expire(k, ttl.campaign)
  register(of .. 's', ref)
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
    register('campaigns', ref)
  elseif former[2] ~= id then
    drop_parts('preview', id, parts)
  end
end

local function count_cdr(campaign, field, by)
  local k = key('counts:' .. campaign)
  if redis.call('HINCRBY', k, field, by) <= 0 then redis.call('HDEL', k, field) end
  expire(k, ttl.cdr)
end
local function index_cdr(id, ms, keys, first)
  for i = first, #keys do
    local k = key('cdrs_by:' .. keys[i])
    redis.call('ZADD', k, ms, id)
    redis.call('ZREMRANGEBYSCORE', k, '-inf', now - tonumber(ttl.cdr) * 1000)
    expire(k, ttl.cdr)
  end
end

function apply.cdr(id, source, call_ref, agent, stamp, ms, dialed_ms, content, json, campaign, count_field, ...)
  end_call(source, call_ref, agent)
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
  elseif tonumber(dialed_ms) > now - tonumber(ttl.cdr) * 1000 then
    -- One that is older than what is kept is found by its id only.
    redis.call('ZADD', key('cdrs'), dialed_ms, id)
  end
  redis.call('HSET', k, 'content', content, 'stamp', stamp, 'json', json, 'campaign', campaign, 'count', count_field, 'ms', ms)
  expire(k, ttl.cdr)
  redis.call('ZREMRANGEBYSCORE', key('cdrs'), '-inf', now - tonumber(ttl.cdr) * 1000)
  index_cdr(id, dialed_ms, { ... }, 1)
  count_cdr(campaign, count_field, 1)
  if campaign ~= '' then register('campaigns', campaign) end
end

function apply.other(id, type, stamp, ms, json)
  local k = key('other')
  if redis.call('ZADD', k, ms, json) == 0 then return end
  redis.call('HINCRBY', key('other_counts'), type, 1)
  keep_latest(k, 1000)
  expire(k, ttl.other)
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
  redis.call('ZREMRANGEBYSCORE', index, '-inf', now - tonumber(ttl.parked) * 1000)
  for _, oldest in ipairs(redis.call('ZRANGE', index, 0, -MOST_PARKED - 1)) do redis.call('DEL', key('parked:' .. oldest)) end
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
    if ms < now - tonumber(ttl.gap) * 1000 then redis.call('HDEL', k, all[i]) end
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
  local oldest = now - tonumber(ttl.gap) * 1000
  if tonumber(to_ms) < oldest or redis.call('EXISTS', k) == 1 then return end
  redis.call('SET', k, json, 'EX', ttl.gap)
  for _, set in ipairs({ index, own }) do
    redis.call('ZADD', set, to_ms, id)
    redis.call('ZREMRANGEBYSCORE', set, '-inf', oldest)
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

local at = 4
while at <= #ARGV do
  local count = tonumber(ARGV[at + 1])
  local args = {}
  for i = 1, count do args[i] = ARGV[at + 1 + i] end
  apply[ARGV[at]](unpack(args))
  at = at + 2 + count
end
return 'OK'
`
