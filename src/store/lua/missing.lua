-- Calls that were assigned to agents and whose CDR has not arrived. They are stored in the agent's document, which a call and its CDR write
-- anyway. src/store/reads/loss-reads.ts finds the calls that their agent left long ago. These are then listed as missing until their CDR
-- arrives.
local AWAITED = { 'stamp', 'ref', 'numbers', 'campaign', 'noted_ms', 'left_ms', 'again', 'kind' }
-- Maximum calls of one agent. An agent has more within the waiting time only if no CDRs arrive at all.
local MAX_AWAITED = 50

local function read_awaited(agent)
  local calls = {}
  for i, entry in ipairs(entries_of(agent.fields.awaited)) do
    local call = {}
    for at, value in ipairs(parts_of(entry, SEP)) do call[AWAITED[at]] = value end
    calls[i] = call
  end
  return calls
end
local function write_awaited(agent, calls)
  local entries = {}
  for i = math.max(1, #calls - MAX_AWAITED + 1), #calls do
    local parts = {}
    for at, field in ipairs(AWAITED) do parts[at] = calls[i][field] end
    entries[#entries + 1] = table.concat(parts, SEP)
  end
  set(agent, 'awaited', entries[1] and table.concat(entries, ENTRY) or nil, ttl.agent)
end

-- Numbers are compared by their last digits. Two lists without a common number belong to different tries.
local function differ(a, b)
  if a == '' or b == '' then return false end
  for number in string.gmatch(a, '%d+') do
    if contains(b, number) then return false end
  end
  return true
end
local function is_same_call(a, b)
  return a.ref == b.ref and source_of(a.stamp) == source_of(b.stamp) and not differ(a.numbers, b.numbers)
end

-- Returns whether a CDR with a call's reference belongs to that call. References recur, and there is one CDR for each number tried. The CDR
-- must have arrived after the call. It must not have ended before the call, as far as the clocks of dialler and relay agree, nor long after
-- the agent left it.
local CLOCKS_MS, EXACT_MS = 600000, 2000
local function is_of(cdr, call, agent, left_ms)
  local by, end_ms, numbers, stamp = unpack(parts_of(cdr, SEP))
  if not newer(stamp, call.stamp) or differ(numbers, call.numbers) then return false end
  if end_ms == '' then return true end
  local _, _, call_ms = split(call.stamp)
  local is_certain = by == agent and call.again ~= '1'
  return tonumber(end_ms) >= call_ms - (is_certain and CLOCKS_MS or EXACT_MS)
    and tonumber(end_ms) <= (tonumber(call.left_ms) or left_ms or math.huge) + CLOCKS_MS
end

-- Returns whether a relay that was ready recently consumes the list to which the CDRs of such calls are pushed. Otherwise no CDR is
-- awaited.
local READY_MS = 3600000
local function is_awaited(kind, source)
  for _, value in pairs(open(key('relays')).fields) do
    local parts = parts_of(value, SEP)
    local _, _, ms = split(parts[1])
    if parts[3] and ms > now - READY_MS and contains(parts[2], kind .. '|' .. source) then return true end
  end
  return false
end

-- Returns when the agent left a call, at the latest when the next call came (`by_ms`). The statuses determine it if all of them belong to
-- one campaign.
local function left_of(agent, call, by_ms)
  local campaign, left_ms
  for _, turn in ipairs(entries_of(agent.fields.turns)) do
    local kind, of_campaign, stamp = unpack(parts_of(turn, SEP))
    if source_of(stamp) == source_of(call.stamp) and newer(stamp, call.stamp) then
      local _, _, ms = split(stamp)
      if campaign and campaign ~= of_campaign then return by_ms end
      campaign = of_campaign
      if not left_ms and kind ~= 'busy' then left_ms = ms end
    end
  end
  if call.campaign == '' then call.campaign = campaign or '' end
  return math.min(left_ms or by_ms, by_ms)
end
-- An agent has one call at a time: the next call means that the agent has left the previous ones.
local function leave_calls(agent, stamp)
  if not agent.fields.awaited then return end
  local calls = read_awaited(agent)
  local _, _, ms = split(stamp)
  for _, call in ipairs(calls) do
    if call.left_ms == '' and source_of(call.stamp) == source_of(stamp) and newer(stamp, call.stamp) then
      call.left_ms = string.format('%.0f', left_of(agent, call, ms))
    end
  end
  write_awaited(agent, calls)
end

-- @param former the agent who last had a call with this reference
local function await_cdr(agent, args, known, former)
  local call = { stamp = args.stamp, ref = name(args.call_ref), numbers = args.numbers, campaign = name(args.campaign),
    noted_ms = string.format('%.0f', now), left_ms = '', again = '', kind = args.kind }
  for _, cdr in ipairs(entries_of(known.fields.cdrs)) do
    if is_of(cdr, call, args.ref) then return end
  end
  -- The call was transferred, or its number was tried again: only the CDR of the last try is awaited.
  for _, holder in ipairs({ agent, former and former ~= args.ref and open(key('agent:' .. name(former))) or nil }) do
    local kept, has_later = {}, false
    for _, other in ipairs(read_awaited(holder)) do
      if not is_same_call(other, call) then kept[#kept + 1] = other
      elseif newer(other.stamp, call.stamp) then has_later = true
      elseif holder == agent then call.again = '1' end
    end
    if has_later then return end
    write_awaited(holder, kept)
  end
  local calls = read_awaited(agent)
  calls[#calls + 1] = call
  write_awaited(agent, calls)
end

local function keep_seconds(known) return known.fields.missing and ttl.missing or ttl.ended end

-- A CDR has arrived: its call is no longer awaited.
local function settle_call(ref, args, cdr)
  local agent, kept = open(key('agent:' .. name(ref))), {}
  if not agent.fields.awaited then return end
  for _, call in ipairs(read_awaited(agent)) do
    local is_named = call.ref == name(args.call_ref) and source_of(call.stamp) == args.source
    if not is_named or not is_of(cdr, call, ref, left_of(agent, call, math.huge)) then kept[#kept + 1] = call end
  end
  write_awaited(agent, kept)
end

-- Calls that are listed as missing. Their CDR may arrive days later. The document of the call names the listed ones.
local MISSING = { 'id', 'agent', 'stamp', 'numbers', 'left_ms', 'again', 'change' }
local function settle_missing(known, cdr)
  local kept = {}
  for _, entry in ipairs(entries_of(known.fields.missing)) do
    local call = {}
    for at, value in ipairs(parts_of(entry, SEP)) do call[MISSING[at]] = value end
    if is_of(cdr, call, call.agent) then
      drop(key('missing:' .. call.id))
      redis.call('ZREM', key('missing'), call.id)
      note_change(call.change)
    else
      kept[#kept + 1] = entry
    end
  end
  set(known, 'missing', kept[1] and table.concat(kept, ENTRY) or nil, kept[1] and ttl.missing or ttl.ended)
end

local MAX_MISSING = 10000
function apply.missing(args)
  local agent, known = open(key('agent:' .. name(args.agent))), open(key('call:' .. name(args.source .. ':' .. args.call_ref)))
  local call, kept = nil, {}
  for _, other in ipairs(read_awaited(agent)) do
    if other.stamp == args.stamp then call = other else kept[#kept + 1] = other end
  end
  -- The CDR has arrived since.
  if not call then return end
  write_awaited(agent, kept)
  call.left_ms = args.left_ms
  for _, cdr in ipairs(entries_of(known.fields.cdrs)) do
    if is_of(cdr, call, args.agent) then return end
  end
  local k, id = key('missing'), name(args.id)
  write(key('missing:' .. id), args.json, ttl.missing)
  redis.call('ZADD', k, args.ms, id)
  purge(k, 'missing')
  keep_latest(k, MAX_MISSING)
  expire(k, ttl.missing)
  local entry = table.concat({ id, args.agent, args.stamp, call.numbers, args.left_ms, call.again, args.change_back }, SEP)
  set(known, 'missing', (known.fields.missing and known.fields.missing .. ENTRY or '') .. entry, ttl.missing)
  note_change(args.change)
end
