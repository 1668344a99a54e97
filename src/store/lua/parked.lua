-- What is parked, by the relay and by functions: a document for each entry, and a list of them by time.

-- Entries of one commit have the same time; the fraction keeps their order. A number has room for 4,096 of them in a millisecond.
local parked_count = 0
local function list_parked(id, ms)
  redis.call('ZADD', key('parked'), string.format('%.17g', tonumber(ms) + math.min(parked_count, 4095) / 4096), id)
  parked_count = parked_count + 1
  if not is_due(upkeep, 'parked', UPKEEP_SECONDS) then return end
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
  in_portions(dropped, function(ids)
    redis.call('ZREM', key('parked'), unpack(ids))
    for i, one in ipairs(ids) do ids[i] = key('parked:' .. one) end
    redis.call('DEL', unpack(ids))
  end)
  if #dropped > 0 then keep_latest(own, MAX_OF_RELAY) end
end

-- The failed attempts of a message that comes again: `ms, attempt, status, reason, keys`.
local MAX_ATTEMPTS_BYTES, MAX_ATTEMPTS = 65536, 50
function apply.attempt(of)
  local k = key('attempts:' .. of.message)
  local entry = table.concat({ of.ms, of.attempt, of.status, of.reason, table.concat(of.keys, FIELD) }, SEP)
  local text = read(k)
  if text and string.find(ENTRY .. text .. ENTRY, ENTRY .. entry .. ENTRY, 1, true) then return end
  text = text and text .. ENTRY .. entry or entry
  if #text <= MAX_ATTEMPTS_BYTES then write(k, text, ttl.done) end
end
-- The attempts of one notification, without the keys.
local function attempts_of(message, own)
  local found = {}
  for _, entry in ipairs(entries_of(read(key('attempts:' .. message)))) do
    local head, keys = string.match(entry, '^(.*)' .. SEP .. '([^' .. SEP .. ']*)$')
    if head and string.find(FIELD .. keys .. FIELD, FIELD .. own .. FIELD, 1, true) then found[#found + 1] = head end
  end
  return found
end

-- A notification that a function parked. Parked again it is the same entry, with all of its attempts.
function apply.park(of)
  local entry = open(key('parked:' .. of.id))
  if entry.fields.ms == of.ms and entry.fields.json == of.json then return end
  local attempts = entries_of(entry.fields.attempts)
  for _, one in ipairs(attempts_of(of.message, of.key)) do attempts[#attempts + 1] = one end
  if of.attempt ~= '' then attempts[#attempts + 1] = table.concat({ of.ms, of.attempt, of.status, of.reason }, SEP) end
  while #attempts > MAX_ATTEMPTS do table.remove(attempts, 1) end
  for i = tonumber(of.parts), (tonumber(entry.fields.parts) or 0) - 1 do redis.call('DEL', part_key('parked', of.id, i)) end
  set(entry, 'ms', of.ms, ttl.parked)
  set(entry, 'parts', of.parts, ttl.parked)
  set(entry, 'json', of.json, ttl.parked)
  set(entry, 'attempts', table.concat(attempts, ENTRY), ttl.parked)
  list_parked(of.id, of.ms)
  note_change(of.change)
end

-- A replay: a document of its figures, and the list of its entries. The list alone is written at once; what counts of it is in the document, so
-- that each step may be repeated, and a step that the database breaks off leaves nothing half done.
local function replay_of(job) return open(key('replay:' .. job)) end
local function entries_key(job) return key('replay_entries:' .. job) end
local function count_of(document, field) return tonumber(document.fields[field] or '') or 0 end
local function add(document, field, count) set(document, field, string.format('%d', count_of(document, field) + count), ttl.parked) end
function apply.replay(of)
  local replay = replay_of(of.job)
  if replay.fields.json then return end
  redis.call('ZADD', key('replays'), of.ms, of.job)
  purge(key('replays'), 'parked')
  expire(key('replays'), ttl.parked)
  set(replay, 'json', of.json, ttl.parked)
end
-- More entries, found from one place of the list of what is parked up to another.
function apply.select(of)
  local replay, k = replay_of(of.job), entries_key(of.job)
  if (replay.fields.place or '') ~= of.from then return end
  if count_of(replay, 'selected') == 0 then redis.call('DEL', k) else redis.call('LTRIM', k, 0, count_of(replay, 'selected') - 1) end
  in_portions(of.entries, function(entries) redis.call('RPUSH', k, unpack(entries)) end)
  if #of.entries > 0 then expire(k, ttl.parked) end
  set(replay, 'place', of.to, ttl.parked)
  add(replay, 'selected', #of.entries)
end
-- Takes the next entries, unless those taken before are still to be sent. One that another replay has, or that is gone, is skipped.
function apply.claim(of)
  local replay = replay_of(of.job)
  if replay.fields.stopped or (replay.fields.sending or '') ~= '' then return end
  local first = count_of(replay, 'taken')
  local last = math.min(first + of.count, count_of(replay, 'selected')) - 1
  if last < first then return end
  local taken = {}
  for _, id in ipairs(redis.call('LRANGE', entries_key(of.job), first, last)) do
    local entry = open(key('parked:' .. id))
    if entry.fields.parts and (entry.fields.replay or of.job) == of.job then
      set(entry, 'replay', of.job, ttl.parked)
      taken[#taken + 1] = id
    end
  end
  set(replay, 'taken', string.format('%d', last + 1), ttl.parked)
  set(replay, 'sending', table.concat(taken, ENTRY), ttl.parked)
  add(replay, 'sent', #taken)
  add(replay, 'skipped', last + 1 - first - #taken)
  add(replay, 'round', 1)
end
function apply.sent(of)
  local replay = replay_of(of.job)
  if replay.fields.round == of.round then set(replay, 'sending', '', ttl.parked) end
end
function apply.stop(of)
  local replay = replay_of(of.job)
  if replay.fields.json then set(replay, 'stopped', '1', ttl.parked) end
end
-- What became of an entry that a replay had sent. Behind `park`, which may have put the same one aside again.
function apply.replayed(of)
  local entry = open(key('parked:' .. of.entry))
  if entry.fields.replay ~= of.job then return end
  local replay = replay_of(of.job)
  add(replay, 'sent', -1)
  add(replay, of.has_failed == '1' and 'failed_again' or 'handled', 1)
  note_change(of.change)
  if of.has_failed == '1' then return set(entry, 'replay', nil, ttl.parked) end
  unlist_parked(of.entry)
  drop_parts('parked', of.entry, entry.fields.parts)
  for field in pairs(entry.fields) do set(entry, field, nil, ttl.unparked) end
end
