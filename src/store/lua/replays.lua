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
function apply.replay(of)
  local replay = replay_of(of.job)
  if replay.fields.json then return end
  go_on(replay)
  redis.call('ZADD', key('replays'), of.ms, of.job)
  purge(key('replays'), 'parked')
  expire(key('replays'), ttl.parked)
  set(replay, 'json', of.json, ttl.parked)
  set(replay, 'of', of.of, ttl.parked)
  if of.by == 'relay' then
    redis.call('ZADD', key('replays_of_relays'), of.ms, of.job)
    expire(key('replays_of_relays'), ttl.parked)
  end
end
-- A relay sends the entries of the replay. It must renew its claim to drive within `for_ms`; only then may another relay take over.
function apply.drive(of)
  local replay = replay_of(of.job)
  local fields = replay.fields
  if not fields.json or fields.stopped then return end
  if fields.driver ~= of.relay and (tonumber(fields.driven_until or '') or 0) > now then return end
  set(replay, 'driver', of.relay, ttl.parked)
  set(replay, 'driven_until', string.format('%.0f', now + tonumber(of.for_ms)), ttl.parked)
end
-- Relays no longer examine a finished replay.
function apply.leave(of) redis.call('ZREM', key('replays_of_relays'), of.job) end
-- Adds entries that were found between two places of the list of parked entries. Entries chosen by an operator are sorted in the order of
-- the list.
function apply.select(of)
  local replay, k = replay_of(of.job), entries_key(of.job)
  if (replay.fields.place or '') ~= of.from then return end
  go_on(replay)
  if of.is_chosen == '1' then
    local places = {}
    for _, id in ipairs(of.entries) do places[id] = tonumber(redis.call('ZSCORE', key('parked'), id) or '') or 0 end
    table.sort(of.entries, function(a, b)
      if places[a] ~= places[b] then return places[a] < places[b] end
      return a < b
    end)
  end
  if count_of(replay, 'selected') == 0 then redis.call('DEL', k) else redis.call('LTRIM', k, 0, count_of(replay, 'selected') - 1) end
  in_portions(of.entries, function(entries) redis.call('RPUSH', k, unpack(entries)) end)
  if #of.entries > 0 then expire(k, ttl.parked) end
  set(replay, 'place', of.to, ttl.parked)
  add(replay, 'selected', #of.entries)
end
-- Takes the next entries, up to `count` and up to a number of parts of bodies, unless entries taken before are still to be sent. An entry
-- that belongs to another replay or no longer exists is skipped. A stopped replay reserves nothing.
local MAX_PARTS = 32
function apply.claim(of)
  local replay = replay_of(of.job)
  if replay.fields.stopped or (replay.fields.sending or '') ~= '' then return end
  local first = count_of(replay, 'taken')
  local last = math.min(first + of.count, count_of(replay, 'selected')) - 1
  if last < first then return end
  local ids, taken, seen, parts, keys = redis.call('LRANGE', entries_key(of.job), first, last), {}, 0, 0, {}
  for i, id in ipairs(ids) do keys[i] = key('parked:' .. id) end
  if replay.fields.of ~= 'cdrs' then read_ahead(keys) end
  for _, id in ipairs(ids) do
    local entry = replay.fields.of ~= 'cdrs' and entry_of(id)
    local is_taken = not entry or is_free(entry, of.job)
    local more = is_taken and entry and tonumber(entry.fields.parts) or 0
    if #taken > 0 and parts + more > MAX_PARTS then break end
    seen, parts = seen + 1, parts + more
    if is_taken then
      if entry then set(entry, 'replay', of.job, ttl.parked) end
      taken[#taken + 1] = id
    else
      local outcome = outcome_of(of.job, id)
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
function apply.sent(of)
  local replay = replay_of(of.job)
  if replay.fields.round ~= of.round or replay.fields.sending == '' then return end
  go_on(replay)
  set(replay, 'sending', '', ttl.parked)
end
function apply.stop(of)
  local replay = replay_of(of.job)
  if replay.fields.json then set(replay, 'stopped', '1', ttl.parked) end
end
-- The outcome of an entry that a replay has sent. It follows `park` in a commit, which may have parked the same entry again.
function apply.replayed(of)
  local entry, replay, outcome = entry_of(of.entry), replay_of(of.job), outcome_of(of.job, of.entry)
  local is_cdr = replay.fields.of == 'cdrs'
  if outcome.fields.is or (not is_cdr and entry.fields.replay ~= of.job) then return end
  local is = of.outcome == 'handled' and 'handled' or 'failed_again'
  set(outcome, 'is', is, ttl.parked)
  set(outcome, 'why', of.why, ttl.parked)
  add(replay, 'sent', -1)
  add(replay, is, 1)
  note_change(is_cdr and of.change_of_job or of.change)
  if is_cdr then return end
  if of.reason ~= '' then add_attempts(entry, { table.concat({ of.ms, '0', '', of.reason }, SEP) }) end
  if of.outcome == 'failed' then
    add(entry, 'replays', 1)
    return set(entry, 'replay', nil, ttl.parked)
  end
  unlist_parked(of.entry, entry.fields.lane)
  take_out_of_bin(of.entry, entry)
  drop_parts('parked', of.entry, entry.fields.parts)
  local messages = (entry.fields.message or '') .. ',' .. of.message
  for field in pairs(entry.fields) do set(entry, field, nil, ttl.unparked) end
  set(entry, 'handled', messages, ttl.unparked)
end
