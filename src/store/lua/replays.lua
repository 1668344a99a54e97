-- Replays send parked notifications or CDRs to their functions again.

-- A replay consists of a document with its figures, a list of its entries (parked entries or CDRs), and a document for each outcome. Only
-- the list is written at once. The document says how much of the list counts, and changes together with the entries. So every step may be
-- repeated, and an interrupted step leaves nothing half done.
local function replay_of(job) return open_together(key('replay:' .. job)) end
local function outcome_of(job, entry) return open_together(key('outcome:' .. job .. ':' .. entry)) end
local function entries_key(job) return key('replay_entries:' .. job) end
local function count_of(document, field) return tonumber(document.fields[field] or '') or 0 end
local function add(document, field, count) set(document, field, string.format('%d', count_of(document, field) + count), ttl.parked) end
-- Counts the steps of the replay. A step that expects another number is not the next one.
local function go_on(replay)
  add(replay, 'steps', 1)
  set(replay, 'at', string.format('%.0f', now), ttl.parked)
end
function apply.replay(args)
  local replay = replay_of(args.job)
  if replay.fields.json then return end
  go_on(replay)
  redis.call('ZADD', key('replays'), args.ms, args.job)
  purge(key('replays'), 'parked')
  expire(key('replays'), ttl.parked)
  set(replay, 'json', args.json, ttl.parked)
  set(replay, 'of', args.subject, ttl.parked)
  if args.by == 'relay' then
    redis.call('ZADD', key('replays_of_relays'), args.ms, args.job)
    expire(key('replays_of_relays'), ttl.parked)
  end
end
-- A relay sends the entries of the replay. It must renew its claim to drive within `for_ms`; after that, another relay may take over.
function apply.drive(args)
  local replay = replay_of(args.job)
  local fields = replay.fields
  if not fields.json or fields.stopped then return end
  if fields.driver ~= args.relay and (tonumber(fields.driven_until or '') or 0) > now then return end
  set(replay, 'driver', args.relay, ttl.parked)
  set(replay, 'driven_until', string.format('%.0f', now + tonumber(args.for_ms)), ttl.parked)
end
-- Relays no longer examine a finished replay.
function apply.leave(args) redis.call('ZREM', key('replays_of_relays'), args.job) end
-- Adds entries that were found between two places of the list of parked entries. Entries chosen by an operator are sorted in the order of
-- the list.
function apply.select(args)
  local replay, k = replay_of(args.job), entries_key(args.job)
  if (replay.fields.place or '') ~= args.from then return end
  go_on(replay)
  if args.is_chosen == '1' then
    local places = {}
    for _, id in ipairs(args.entries) do places[id] = tonumber(redis.call('ZSCORE', key('parked'), id) or '') or 0 end
    table.sort(args.entries, function(a, b)
      if places[a] ~= places[b] then return places[a] < places[b] end
      return a < b
    end)
  end
  if count_of(replay, 'selected') == 0 then redis.call('DEL', k) else redis.call('LTRIM', k, 0, count_of(replay, 'selected') - 1) end
  in_portions(args.entries, function(entries) redis.call('RPUSH', k, unpack(entries)) end)
  if #args.entries > 0 then expire(k, ttl.parked) end
  set(replay, 'place', args.to, ttl.parked)
  add(replay, 'selected', #args.entries)
end
-- Takes the next entries, up to `count` and up to a number of parts of bodies, unless entries taken before are still to be sent. An entry
-- that belongs to another replay or no longer exists is skipped. A stopped replay takes and reserves no entries.
local MAX_PARTS = 32
function apply.claim(args)
  local replay = replay_of(args.job)
  if replay.fields.stopped or (replay.fields.sending or '') ~= '' then return end
  local first = count_of(replay, 'taken')
  local last = math.min(first + args.count, count_of(replay, 'selected')) - 1
  if last < first then return end
  local ids, taken, seen, parts, keys = redis.call('LRANGE', entries_key(args.job), first, last), {}, 0, 0, {}
  for i, id in ipairs(ids) do keys[i] = key('parked:' .. id) end
  if replay.fields.of ~= 'cdrs' then read_ahead(keys) end
  for _, id in ipairs(ids) do
    local entry = replay.fields.of ~= 'cdrs' and entry_of(id)
    local is_taken = not entry or is_free(entry, args.job)
    local more = is_taken and entry and tonumber(entry.fields.parts) or 0
    if #taken > 0 and parts + more > MAX_PARTS then break end
    seen, parts = seen + 1, parts + more
    if is_taken then
      if entry then set(entry, 'replay', args.job, ttl.parked) end
      taken[#taken + 1] = id
    else
      local outcome = outcome_of(args.job, id)
      set(outcome, 'is', 'skipped', ttl.parked)
      set(outcome, 'why', entry.fields.place and 'deleted' or entry.fields.parts and 'another replay sends it' or 'gone', ttl.parked)
    end
  end
  -- If the list has expired, there is nothing more to take.
  if seen == #ids then seen = last + 1 - first end
  go_on(replay)
  set(replay, 'taken', string.format('%d', first + seen), ttl.parked)
  set(replay, 'sending', table.concat(taken, ENTRY), ttl.parked)
  add(replay, 'sent', #taken)
  add(replay, 'skipped', seen - #taken)
  add(replay, 'round', 1)
end
function apply.sent(args)
  local replay = replay_of(args.job)
  if replay.fields.round ~= args.round or replay.fields.sending == '' then return end
  go_on(replay)
  set(replay, 'sending', '', ttl.parked)
end
function apply.stop(args)
  local replay = replay_of(args.job)
  if replay.fields.json then set(replay, 'stopped', '1', ttl.parked) end
end
-- The outcome of an entry that a replay has sent. It follows `park` in a commit, which may have parked the same entry again.
function apply.replayed(args)
  local entry, replay, outcome = entry_of(args.entry), replay_of(args.job), outcome_of(args.job, args.entry)
  local is_cdr = replay.fields.of == 'cdrs'
  if outcome.fields.is or (not is_cdr and entry.fields.replay ~= args.job) then return end
  local is = args.outcome == 'handled' and 'handled' or 'failed_again'
  set(outcome, 'is', is, ttl.parked)
  set(outcome, 'why', args.why, ttl.parked)
  add(replay, 'sent', -1)
  add(replay, is, 1)
  note_change(is_cdr and args.change_of_job or args.change)
  if is_cdr then return end
  if args.reason ~= '' then add_attempts(entry, { table.concat({ args.ms, '0', '', args.reason }, SEP) }) end
  if args.outcome == 'failed' then
    add(entry, 'replays', 1)
    return set(entry, 'replay', nil, ttl.parked)
  end
  unlist_parked(args.entry, entry.fields.lane)
  take_out_of_bin(args.entry, entry)
  drop_parts('parked', args.entry, entry.fields.parts)
  local messages = (entry.fields.message or '') .. ',' .. args.message
  for field in pairs(entry.fields) do set(entry, field, nil, ttl.unparked) end
  set(entry, 'handled', messages, ttl.unparked)
end
