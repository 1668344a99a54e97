/** Writes what agents do in each campaign, and the facts that tell which call they have. A part of the script that writes. */
export const AGENTS = `
-- A campaign in which the agent was not heard of for as long as an agent is kept, and the oldest of too many.
-- Looked for once an hour, or when there are too many: somebody may write words of chance for campaigns.
local MOST_FIELDS, MOST_STATES = 700, 100
local function forget_campaigns(k, ref)
  local looked, is_full = key('looked:' .. name(ref)), redis.call('HLEN', k) > MOST_FIELDS
  local last = tonumber(redis.call('GET', looked) or '')
  if last and now - last < 3600000 and not is_full then return end
  redis.call('SET', looked, now, 'EX', ttl.agent)
  local fields, states = redis.call('HGETALL', k), {}
  for i = 1, #fields, 2 do
    local own = string.match(fields[i], '^s:(.*)$')
    if own then
      local _, _, ms = split(parts_of(fields[i + 1], SEP)[3] or '')
      states[#states + 1] = { own, ms }
    end
  end
  table.sort(states, function(a, b) return a[2] > b[2] end)
  for i, state in ipairs(states) do
    if state[2] < oldest('agent') or (is_full and i > MOST_STATES) then redis.call('HDEL', k, 's:' .. state[1], 'u:' .. state[1], 'n:' .. state[1]) end
  end
end

-- What began or ended a call lately, in the order of time: kind, campaign and stamp of each. Those from well before the present call say
-- nothing about it. Which call an agent has is told from them when it is read (src/store/reads/current-call.ts).
local MOST_CHANGES, ACCOMPANIES_MS = 24, 10000
local function with_change(changes, change, call_stamp)
  local since, entries = 0, {}
  if call_stamp then
    local _, _, ms = split(call_stamp)
    since = ms - ACCOMPANIES_MS
  end
  local all = entries_of(changes)
  if change then all[#all + 1] = change end
  for _, entry in ipairs(all) do
    local _, _, ms = split(parts_of(entry, SEP)[3])
    if ms >= since then entries[#entries + 1] = { entry, ms } end
  end
  table.sort(entries, function(a, b)
    if a[2] ~= b[2] then return a[2] < b[2] end
    return a[1] < b[1]
  end)
  local kept = {}
  for i = math.max(1, #entries - MOST_CHANGES + 1), #entries do
    if entries[i][1] ~= kept[#kept] then kept[#kept + 1] = entries[i][1] end
  end
  return table.concat(kept, ENTRY)
end

function apply.agent_status(ref, campaign, status, stamp, at, kind, known, may_come_before)
  -- The same extension on another dialler is somebody else: nothing there is about this one's campaigns and calls.
  local source = source_of(stamp)
  local k, own = key('agent:' .. name(ref)), name(source .. '|' .. campaign)
  local held = redis.call('HMGET', k, 's:' .. own, 'changes', 'call_stamp')
  if not held[1] then forget_campaigns(k, ref) end
  local former = parts_of(held[1] or '', SEP)
  local f_status, f_since, f_stamp = former[1], former[2], former[3]
  if newer(stamp, f_stamp) then
    local since = at
    if f_status == status then since = f_since
    elseif held[1] and known ~= '' and contains(known, f_status) and not contains(may_come_before, f_status) then
      redis.call('HSET', k, 'u:' .. own, f_status .. SEP .. status .. SEP .. at)
      redis.call('HINCRBY', k, 'n:' .. own, 1)
    end
    redis.call('HSET', k, 's:' .. own, status .. SEP .. since .. SEP .. stamp .. SEP .. campaign)
  end
  if kind ~= '' then
    local change = kind .. SEP .. name(campaign) .. SEP .. stamp
    redis.call('HSET', k, 'changes', with_change(held[2], change, held[3]))
  end
  register('agents', ref, 'agent')
  expire(k, ttl.agent)
end

-- Numbers are told apart by their last digits: two lists without a common one are of different tries.
local function differ(a, b)
  if a == '' or b == '' then return false end
  for number in string.gmatch(a, '%d+') do
    if contains(b, number) then return false end
  end
  return true
end

-- The dialler may write the same call on both transports. A copy has no common id: it is the same call by source, reference (where there is
-- none, by number) and agent on the other transport at about the same time.
local COPY_MS = 60000
local function is_other_copy(a, b)
  local stream_a, _, ms_a = split(a.stamp)
  local stream_b, _, ms_b = split(b.stamp)
  local is_named = a.ref ~= '' or (a.numbers ~= '' and a.numbers == b.numbers)
  return is_named and a.ref == b.ref and a.source == b.source and stream_a ~= stream_b and math.abs(ms_a - ms_b) <= COPY_MS
    and not differ(a.numbers, b.numbers)
end
-- What is fresh is preferred, then what came as inbound, which says more; then the first.
local function is_better(a, b)
  if a.rank ~= b.rank then return a.rank > b.rank end
  return newer(b.stamp, a.stamp)
end
local function to_call(entry)
  local parts = parts_of(entry, SEP)
  return { source = parts[3], ref = parts[4], numbers = parts[5], rank = parts[6], stamp = parts[7] }
end
local function prefer_call(a, b)
  local call, other = to_call(a), to_call(b)
  if is_other_copy(call, other) then return is_better(call, other) end
end

-- What a CDR says of a call with its reference: 'over', 'doubt' or nothing. There is one CDR for each number tried, so it may be of an earlier
-- try: one that was received before the call, names another agent or another number, or ended before the call was handed over. The end is
-- told by dialed_at and the times, which leave out the ringing, and by the dialler's clock. A CDR that names the agent is of the
-- call unless it is much older; one that names none has to be of it for certain.
local ROUNDING_MS, RINGING_MS = 2000, 600000
local function verdict(cdr, agent, call)
  local by, end_ms, numbers, stamp = unpack(parts_of(cdr, SEP))
  if not newer(stamp, call.stamp) or (by ~= '' and by ~= agent) or differ(numbers, call.numbers) then return end
  local _, _, call_ms = split(call.stamp)
  local is_strict = by == '' or call.again == '1'
  if end_ms == '' then return is_strict and 'doubt' or 'over' end
  return call_ms - tonumber(end_ms) <= (is_strict and ROUNDING_MS or RINGING_MS) and 'over' or 'doubt'
end

local CALL = { 'call_stamp', 'call_ref', 'call_source', 'call_numbers', 'call_again', 'call_rank', 'call', 'call_campaign', 'call_over' }
local function read_call(k)
  local held = redis.call('HMGET', k, unpack(CALL))
  if not held[1] then return end
  return { stamp = held[1], ref = held[2], source = held[3], numbers = held[4], again = held[5], rank = held[6], json = held[7], campaign = held[8], over = held[9] }
end
local function end_by(cdrs, k, agent, call)
  local over = call.over or ''
  for _, cdr in ipairs(cdrs) do
    local said = verdict(cdr, agent, call)
    if said == 'over' or (said and over == '') then over = said end
  end
  if over ~= (call.over or '') then redis.call('HSET', k, 'call_over', over) end
end
local function ended_key(source, call_ref) return key('ended:' .. name(source .. ':' .. call_ref)) end

function apply.call(ref, campaign, source, call_ref, numbers, stamp, ms, rank, stale_at, id, json)
  -- It may have grown stale since the handler saw it.
  if stale_at ~= '' and now > tonumber(stale_at) then rank = '0' end
  local call = { source = source, ref = name(call_ref), numbers = numbers, stamp = stamp, rank = rank, json = json, campaign = name(campaign), again = '' }
  local k = key('agent:' .. name(ref))
  add_once(key('agent_calls:' .. name(ref)), table.concat({ ms, id, source, call.ref, numbers, rank, stamp, json }, SEP), 20, ttl.agent, prefer_call)
  register('agents', ref, 'agent')
  local held = read_call(k)
  local is_same = held and held.ref == call.ref and held.source == source
  local is_copy = held and is_other_copy(call, held)
  if is_copy then
    call.over = held.over
    -- Received when the first of them was.
    if is_better(held, call) then call.rank, call.json = held.rank, held.json end
    if newer(call.stamp, held.stamp) then call.stamp = held.stamp end
    if call.campaign == '' then call.campaign = held.campaign end
    if call.numbers == '' then call.numbers = held.numbers end
    call.again = held.again
  elseif is_same and call_ref ~= '' and stamp ~= held.stamp then
    call.again = '1'
  end
  if is_copy or not held or newer(stamp, held.stamp) then
    local changes = redis.call('HGET', k, 'changes')
    redis.call('HSET', k, 'call', call.rank == '0' and '' or call.json, 'call_stamp', call.stamp, 'call_campaign', call.campaign, 'call_ref', call.ref,
      'call_source', source, 'call_numbers', call.numbers, 'call_again', call.again, 'call_rank', call.rank, 'call_over', call.over or '',
      'changes', with_change(changes, nil, call.stamp))
    if call_ref ~= '' then
      redis.call('SET', key('call_of:' .. name(source .. ':' .. call_ref)), ref, 'EX', ttl.ended)
      end_by(entries_of(redis.call('GET', ended_key(source, call_ref))), k, ref, call)
    end
  elseif call.again == '1' then
    -- An earlier call of the same reference that came late: what CDRs say of the present one is judged anew.
    redis.call('HSET', k, 'call_again', '1', 'call_over', '')
    held.again, held.over = '1', ''
    end_by(entries_of(redis.call('GET', ended_key(source, call_ref))), k, ref, held)
  end
  expire(k, ttl.agent)
end

-- The last CDRs of a reference are kept for a call that comes after its CDR: they come by different queues.
local MOST_ENDS = 8
local function end_call(source, call_ref, agent, end_ms, numbers, stamp)
  if call_ref == '' then return end
  local ends, cdr = ended_key(source, call_ref), table.concat({ agent, end_ms, numbers, stamp }, SEP)
  local held = redis.call('GET', ends)
  local kept = { cdr }
  for _, other in ipairs(entries_of(held)) do
    if other ~= cdr and #kept < MOST_ENDS then kept[#kept + 1] = other end
  end
  redis.call('SET', ends, table.concat(kept, ENTRY), 'EX', ttl.ended)
  local ref = agent ~= '' and agent or redis.call('GET', key('call_of:' .. name(source .. ':' .. call_ref)))
  if not ref then return end
  local k = key('agent:' .. name(ref))
  local call = read_call(k)
  if call and call.ref == name(call_ref) and call.source == source then end_by({ cdr }, k, ref, call) end
end

`
