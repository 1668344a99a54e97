-- The states of agents in each campaign, and their calls.

-- Forgets campaigns in which the agent was not heard for as long as an agent is kept, and the oldest campaigns if there are too many. Runs
-- once an hour, or when there are too many: a dialler might send random words as campaigns.
local MAX_FIELDS, MAX_STATES = 700, 100
local function forget_campaigns(agent)
  local count = 0
  for _ in pairs(agent.fields) do count = count + 1 end
  local is_full = count > MAX_FIELDS
  if not is_due(agent, 'looked', ttl.agent) and not is_full then return end
  local states = {}
  for field, value in pairs(agent.fields) do
    local own = string.match(field, '^s:(.*)$')
    if own then
      local _, _, ms = split(parts_of(value, SEP)[3] or '')
      states[#states + 1] = { own, ms }
    end
  end
  table.sort(states, function(a, b)
    if a[2] ~= b[2] then return a[2] > b[2] end
    return a[1] < b[1]
  end)
  for i, state in ipairs(states) do
    if state[2] < oldest('agent') or (is_full and i > MAX_STATES) then
      for _, of in ipairs({ 's:', 'u:', 'n:' }) do set(agent, of .. state[1], nil, ttl.agent) end
    end
  end
end

-- The recent statuses that began or ended a call, in order of time: kind, campaign and stamp of each. Statuses from well before the current
-- call imply nothing about it. The reads decide from these turns which call an agent has (src/store/reads/agent-reads.ts).
local MAX_TURNS, ACCOMPANIES_MS = 24, 10000
local function ms_of_turn(turn)
  local _, _, ms = split(parts_of(turn, SEP)[3])
  return ms
end
local function with_turn(turns, turn, call_stamp)
  local entries = entries_of(turns)
  if turn then
    local at, ms = #entries, ms_of_turn(turn)
    while at > 0 do
      local other_ms = ms_of_turn(entries[at])
      if other_ms < ms or (other_ms == ms and entries[at] <= turn) then break end
      at = at - 1
    end
    if entries[at] ~= turn then table.insert(entries, at + 1, turn) end
  end
  local first = math.max(1, #entries - MAX_TURNS + 1)
  if call_stamp then
    local _, _, ms = split(call_stamp)
    while entries[first] and ms_of_turn(entries[first]) < ms - ACCOMPANIES_MS do first = first + 1 end
  end
  return table.concat(entries, ENTRY, first)
end

function apply.agent_status(args)
  -- The same extension on another dialler is another agent: its states imply nothing about this one's campaigns and calls.
  local agent, own = open(key('agent:' .. name(args.ref))), name(source_of(args.stamp) .. '|' .. args.campaign)
  local held = agent.fields['s:' .. own]
  local former = parts_of(held or '', SEP)
  local status, since, stamp = former[1], former[2], former[3]
  -- A resync names every agent who ever was in a campaign, and does not know what was heard since.
  if is_resync(args.stamp) and (not newer(args.stamp, stamp) or (not held and args.status == 'offline')) then return end
  if not held then forget_campaigns(agent) end
  if newer(args.stamp, stamp) then
    if held and status == args.status then
      since = former[2]
    else
      since = args.at
      if held and args.known ~= '' and contains(args.known, status) and not contains(args.may_come_before, status) then
        set(agent, 'u:' .. own, status .. SEP .. args.status .. SEP .. args.at, ttl.agent)
        set(agent, 'n:' .. own, tostring((tonumber(agent.fields['n:' .. own] or '') or 0) + 1), ttl.agent)
      end
    end
    set(agent, 's:' .. own, args.status .. SEP .. since .. SEP .. args.stamp .. SEP .. args.campaign, ttl.agent)
    note_state(args.change, held and status)
  end
  if args.implies ~= '' then
    local turn = args.implies .. SEP .. name(args.campaign) .. SEP .. args.stamp
    set(agent, 'turns', with_turn(agent.fields.turns, turn, agent.fields.call_stamp), ttl.agent)
  end
  register(agent, 'agents', args.ref, 'agent', ttl.agent)
end

-- The dialler may send the same call on both transports. The copies have different ids: they are the same call if source, reference
-- (without one, the number) and agent are equal, and they arrived by different transports at about the same time.
local COPY_MS = 60000
local function is_other_copy(a, b)
  local stream_a, _, ms_a = split(a.stamp)
  local stream_b, _, ms_b = split(b.stamp)
  local is_named = a.ref ~= '' or (a.numbers ~= '' and a.numbers == b.numbers)
  return is_named and a.ref == b.ref and a.source == b.source and stream_a ~= stream_b and math.abs(ms_a - ms_b) <= COPY_MS
    and not differ(a.numbers, b.numbers)
end
-- A fresh copy is preferred to a stale one, then an inbound copy, which contains more, then the earlier one.
local function is_better(a, b)
  if a.rank ~= b.rank then return a.rank > b.rank end
  return newer(b.stamp, a.stamp)
end
local function to_call(entry)
  local parts = parts_of(entry, SEP)
  return { source = parts[3], ref = parts[4], numbers = parts[5], rank = parts[6], stamp = parts[7] }
end

-- Returns the verdict of a CDR on a call with the same reference: 'over', 'doubt' or nothing. There is one CDR for each number tried, so the
-- CDR may belong to an earlier try: if it was received before the call, names another agent or number, or ended before the agent received
-- the call. Its end is dialed_at plus its times, by the dialler's clock; these times leave out the ringing. A CDR that names the agent
-- belongs to the call unless it is much older. A CDR that names no agent ends the call only if it certainly belongs to it.
local ROUNDING_MS, RINGING_MS = 2000, 600000
local function verdict(cdr, agent, call)
  local by, end_ms, numbers, stamp = unpack(parts_of(cdr, SEP))
  if not newer(stamp, call.stamp) or (by ~= '' and by ~= agent) or differ(numbers, call.numbers) then return end
  local _, _, call_ms = split(call.stamp)
  local is_strict = by == '' or call.again == '1'
  if end_ms == '' then return is_strict and 'doubt' or 'over' end
  return call_ms - tonumber(end_ms) <= (is_strict and ROUNDING_MS or RINGING_MS) and 'over' or 'doubt'
end

local CALL = { 'stamp', 'ref', 'source', 'numbers', 'again', 'rank', 'json', 'campaign', 'over', 'cdrs' }
local function read_call(agent)
  if not agent.fields.call_stamp then return end
  local call = {}
  for _, field in ipairs(CALL) do call[field] = agent.fields['call_' .. field] or '' end
  return call
end
local function write_call(agent, call)
  for _, field in ipairs(CALL) do set(agent, 'call_' .. field, call[field], ttl.agent) end
end
local function judge(cdrs, ref, call)
  for _, cdr in ipairs(cdrs) do
    local said = verdict(cdr, ref, call)
    if said == 'over' or (said and call.over == '') then call.over = said end
  end
end
-- Returns the latest CDRs of a call, each once, the latest first.
local MAX_CDRS = 8
local function with_cdr(cdrs, cdr)
  local kept = { cdr }
  for _, other in ipairs(cdrs) do
    if other ~= cdr and #kept < MAX_CDRS then kept[#kept + 1] = other end
  end
  return table.concat(kept, ENTRY)
end
-- Opens the document of a call by its reference: the agent who has it, and the CDRs that arrived before the call. Calls and CDRs come from
-- different queues.
local function open_call(source, call_ref) return open(key('call:' .. name(source .. ':' .. call_ref))) end

function apply.call(args)
  local rank = args.rank
  -- The call may have become stale since the handler checked.
  if args.stale_at ~= '' and now > tonumber(args.stale_at) then rank = '0' end
  local call = { source = args.source, ref = name(args.call_ref), numbers = args.numbers, stamp = args.stamp, rank = rank, json = args.json,
    campaign = name(args.campaign), again = '', over = '', cdrs = '' }
  local agent = open(key('agent:' .. name(args.ref)))
  local entry = table.concat({ args.source, call.ref, args.numbers, rank, args.stamp, args.json }, SEP)
  -- Nearly all entries belong to other calls, so only an entry that may belong to this call is parsed.
  local named = SEP .. args.source .. SEP .. call.ref .. SEP
  local is_first = true
  local function is_better_copy(entry_of_other)
    local other = string.find(entry_of_other, named, 1, true) and to_call(entry_of_other)
    if other and is_other_copy(call, other) then
      is_first = false
      return is_better(call, other)
    end
  end
  local is_new = add_once(key('agent_calls:' .. name(args.ref)), args.ms, args.id, entry, 20, ttl.agent, is_better_copy)
  if is_new then note_change(args.change) end
  register(agent, 'agents', args.ref, 'agent', ttl.agent)
  local held = read_call(agent)
  local is_same = held and held.ref == call.ref and held.source == call.source
  local is_copy = held and is_other_copy(call, held)
  if is_copy then
    call.over, call.again = held.over, held.again
    -- The time of receipt is that of the first copy.
    if is_better(held, call) then call.rank, call.json = held.rank, held.json end
    if newer(call.stamp, held.stamp) then call.stamp = held.stamp end
    if call.campaign == '' then call.campaign = held.campaign end
    if call.numbers == '' then call.numbers = held.numbers end
  elseif is_same and args.call_ref ~= '' and args.stamp ~= held.stamp then
    call.again = '1'
  end
  if is_same then call.cdrs = held.cdrs end
  if is_new and is_first then
    if args.call_ref ~= '' and is_awaited(args.kind, args.source) then
      local known = open_call(args.source, args.call_ref)
      await_cdr(agent, args, known, known.fields.agent)
    end
    leave_calls(agent, held and newer(held.stamp, args.stamp) and held.stamp or args.stamp)
  end
  if is_copy or not held or newer(args.stamp, held.stamp) then
    if call.rank == '0' then call.json = '' end
    if args.call_ref ~= '' then
      local known = open_call(args.source, args.call_ref)
      set(known, 'agent', args.ref, keep_seconds(known))
      judge(entries_of(call.cdrs), args.ref, call)
      judge(entries_of(known.fields.cdrs), args.ref, call)
    end
    write_call(agent, call)
    set(agent, 'turns', with_turn(agent.fields.turns, nil, call.stamp), ttl.agent)
  elseif call.again == '1' then
    -- An earlier call with the same reference arrived late: the CDRs are judged again for the current call.
    held.again, held.over = '1', ''
    judge(entries_of(held.cdrs), args.ref, held)
    judge(entries_of(open_call(args.source, args.call_ref).fields.cdrs), args.ref, held)
    write_call(agent, held)
  end
end

-- Records a CDR in the document of the agent whose current call it belongs to, otherwise under the reference of the call, for a call that
-- arrives after its CDR.
local function end_call(args)
  if args.call_ref == '' then return end
  local known = open_call(args.source, args.call_ref)
  local cdr = table.concat({ args.agent, args.end_ms, args.numbers, args.stamp }, SEP)
  local ref = args.agent ~= '' and args.agent or known.fields.agent
  if known.fields.missing then settle_missing(known, cdr) end
  for _, holder in ipairs({ ref or nil, known.fields.agent ~= ref and known.fields.agent or nil }) do
    settle_call(holder, args, cdr)
  end
  if ref then
    local agent = open(key('agent:' .. name(ref)))
    local call = read_call(agent)
    if call and call.ref == name(args.call_ref) and call.source == args.source then
      call.cdrs = with_cdr(entries_of(call.cdrs), cdr)
      judge({ cdr }, ref, call)
      write_call(agent, call)
      return
    end
  end
  set(known, 'cdrs', with_cdr(entries_of(known.fields.cdrs), cdr), keep_seconds(known))
end
