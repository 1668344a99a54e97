-- Parked notifications of the relay and of functions: a document for each entry, and a list of them by time.

local is_kept = false
local function list_parked(id, place)
  redis.call('ZADD', key('parked'), place, id)
  if is_kept then return end
  is_kept = true
  expire(key('parked'), ttl.parked + 7200)
  purge(key('parked'), 'parked')
end
local function unlist_parked(id) redis.call('ZREM', key('parked'), id) end

-- A notice of the relay about a notification that it parked: the last one counts. One that was sent again or dropped leaves a mark, for a notice
-- that comes late. The relay keeps the notification itself, so that a relay which parks everything does not fill the database.
local MAX_OF_RELAY = 10000
function apply.parked(of)
  local id, own = name(of.id), key('parked_of_relay')
  local entry = open(key('parked:' .. id))
  if not newer(of.stamp, entry.fields.stamp) then return end
  local is_parked = of.state == 'parked'
  set(entry, 'stamp', of.stamp, is_parked and ttl.parked or ttl.unparked)
  set(entry, 'json', is_parked and of.json or nil, is_parked and ttl.parked or ttl.unparked)
  note_change(of.change)
  if not is_parked then
    redis.call('ZREM', own, id)
    return unlist_parked(id)
  end
  redis.call('ZADD', own, of.ms, id)
  expire(own, ttl.parked)
  purge(own, 'parked')
  list_parked(id, of.ms)
  local dropped = redis.call('ZRANGE', own, 0, -MAX_OF_RELAY - 1)
  for _, one in ipairs(dropped) do
    unlist_parked(one)
    drop(key('parked:' .. one))
  end
  if #dropped > 0 then keep_latest(own, MAX_OF_RELAY) end
end

-- The failed attempts of a message that comes again, `ms, attempt, status, reason, keys`: the latest of them.
local MAX_ATTEMPTS_BYTES, MAX_ATTEMPTS = 65536, 50
local attempts_by_key = {}
function apply.attempt(of)
  local k = key('attempts:' .. of.message)
  local tail = table.concat({ of.attempt, of.status, of.reason, table.concat(of.keys, FIELD) }, SEP)
  local entries, bytes = entries_of(read(k)), #tail + #of.ms + 1
  for _, entry in ipairs(entries) do
    if string.sub(entry, -#tail - 1) == SEP .. tail then return end
    bytes = bytes + #entry + 1
  end
  entries[#entries + 1] = of.ms .. SEP .. tail
  while bytes > MAX_ATTEMPTS_BYTES and #entries > 1 do bytes = bytes - #table.remove(entries, 1) - 1 end
  write(k, table.concat(entries, ENTRY), ttl.done)
  attempts_by_key[of.message] = nil
end
-- The attempts of one notification, without the keys.
local function attempts_of(message, own)
  if not attempts_by_key[message] then
    local by_key = {}
    for _, entry in ipairs(entries_of(read(key('attempts:' .. message)))) do
      local head, keys = string.match(entry, '^(.*)' .. SEP .. '([^' .. SEP .. ']*)$')
      for _, one in ipairs(head and parts_of(keys, FIELD) or {}) do
        by_key[one] = by_key[one] or {}
        table.insert(by_key[one], head)
      end
    end
    attempts_by_key[message] = by_key
  end
  return attempts_by_key[message][own] or {}
end

-- A notification that a function parked. Parked again it is the same entry, with all of its attempts. One that was handled leaves a mark, for
-- the messages in which it was, which may come late.
local function entry_of(id) return open_together(key('parked:' .. id)) end
local function add_attempts(entry, more)
  local attempts = entries_of(entry.fields.attempts)
  for _, one in ipairs(more) do attempts[#attempts + 1] = one end
  while #attempts > MAX_ATTEMPTS do table.remove(attempts, 1) end
  set(entry, 'attempts', table.concat(attempts, ENTRY), ttl.parked)
end
function apply.park(of)
  local entry = entry_of(of.id)
  local fields = entry.fields
  if contains(fields.handled or '', of.message) or (fields.ms == of.ms and fields.json == of.json) then return end
  -- A message parks a notification once: it comes again because its commit was not answered.
  if fields.message ~= of.message then
    add_attempts(entry, attempts_of(of.message, of.key))
    add_attempts(entry, { table.concat({ of.ms, of.attempt, of.status, of.reason }, SEP) })
  end
  for i = tonumber(of.parts), (tonumber(fields.parts) or 0) - 1 do redis.call('DEL', part_key('parked', of.id, i)) end
  for _, field in ipairs({ 'ms', 'parts', 'json', 'message' }) do set(entry, field, of[field], ttl.parked) end
  set(entry, 'handled', nil, ttl.parked)
  list_parked(of.id, of.place)
  note_change(of.change)
end

-- A replay: a document of its figures, and the list of its entries. The list alone is written at once; what counts of it is in the document, and
-- that changes together with the entries. So each step may be repeated, and one that the database breaks off leaves nothing half done.
local function replay_of(job) return open_together(key('replay:' .. job)) end
local function entries_key(job) return key('replay_entries:' .. job) end
local function count_of(document, field) return tonumber(document.fields[field] or '') or 0 end
local function add(document, field, count) set(document, field, string.format('%d', count_of(document, field) + count), ttl.parked) end
-- Notes that the replay went on: a step that knows another number is not the next one.
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
end
-- More entries, found from one place of the list of what is parked up to another; those that somebody chose are put in the order of the list.
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
-- Takes the next entries, unless those taken before are still to be sent: so many, or so many parts of bodies. One that another replay has, or that
-- is gone, is skipped. A replay that was stopped keeps nothing from others.
local MAX_PARTS = 32
local function is_free(entry, job)
  local other = entry.fields.replay
  if not entry.fields.parts then return false end
  if not other or other == job then return true end
  local fields = replay_of(other).fields
  return not fields.json or fields.stopped ~= nil
end
function apply.claim(of)
  local replay = replay_of(of.job)
  if replay.fields.stopped or (replay.fields.sending or '') ~= '' then return end
  local first = count_of(replay, 'taken')
  local last = math.min(first + of.count, count_of(replay, 'selected')) - 1
  if last < first then return end
  local ids, taken, seen, parts = redis.call('LRANGE', entries_key(of.job), first, last), {}, 0, 0
  for _, id in ipairs(ids) do
    local entry = entry_of(id)
    local is_taken = is_free(entry, of.job)
    local more = is_taken and tonumber(entry.fields.parts) or 0
    if #taken > 0 and parts + more > MAX_PARTS then break end
    seen, parts = seen + 1, parts + more
    if is_taken then
      set(entry, 'replay', of.job, ttl.parked)
      taken[#taken + 1] = id
    end
  end
  -- Where the list has expired there is nothing more to take.
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
-- The outcome of an entry that a replay had sent. Behind `park`, which may have parked the same one again.
function apply.replayed(of)
  local entry, replay = entry_of(of.entry), replay_of(of.job)
  if entry.fields.replay ~= of.job then return end
  add(replay, 'sent', -1)
  add(replay, of.outcome == 'handled' and 'handled' or 'failed_again', 1)
  note_change(of.change)
  if of.reason ~= '' then add_attempts(entry, { table.concat({ of.ms, '0', '', of.reason }, SEP) }) end
  if of.outcome == 'failed' then return set(entry, 'replay', nil, ttl.parked) end
  unlist_parked(of.entry)
  drop_parts('parked', of.entry, entry.fields.parts)
  local messages = (entry.fields.message or '') .. ',' .. of.message
  for field in pairs(entry.fields) do set(entry, field, nil, ttl.unparked) end
  set(entry, 'handled', messages, ttl.unparked)
end
