/** Agents: what they do in each campaign, and the call that they have. A part of the script that writes. */
export const AGENTS = `
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

`
