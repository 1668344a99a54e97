-- Parked notifications of the relay and of functions: a document for each entry, and a list of them by time.

-- Adds an entry to the list by time, and to the list of its lane: the same message group of the same queue. An entry of the relay has no
-- lane.
local is_kept = {}
local function list_parked(id, place, lane)
  for _, k in ipairs({ key('parked'), lane and key('parked_lane:' .. lane) }) do
    redis.call('ZADD', k, place, id)
    if not is_kept[k] then
      is_kept[k] = true
      expire(k, ttl.parked + 7200)
      purge(k, 'parked')
    end
  end
end
local function unlist_parked(id, lane)
  redis.call('ZREM', key('parked'), id)
  if lane then redis.call('ZREM', key('parked_lane:' .. lane), id) end
end

-- A notice of the relay about a notification that it parked. The latest notice counts. A sent or dropped notification leaves a mark, for
-- notices that arrive late. The relay keeps the notification itself, so that a relay that parks everything cannot fill the database.
local MAX_OF_RELAY = 10000
function apply.parked(args)
  local id, own = name(args.id), key('parked_of_relay')
  local entry = open(key('parked:' .. id))
  if not newer(args.stamp, entry.fields.stamp) then return end
  local is_parked = args.state == 'parked'
  set(entry, 'stamp', args.stamp, is_parked and ttl.parked or ttl.unparked)
  set(entry, 'json', is_parked and args.json or nil, is_parked and ttl.parked or ttl.unparked)
  note_change(args.change)
  if not is_parked then
    redis.call('ZREM', own, id)
    return unlist_parked(id)
  end
  redis.call('ZADD', own, args.ms, id)
  expire(own, ttl.parked)
  purge(own, 'parked')
  list_parked(id, args.ms)
  local dropped = redis.call('ZRANGE', own, 0, -MAX_OF_RELAY - 1)
  for _, one in ipairs(dropped) do
    unlist_parked(one)
    drop(key('parked:' .. one))
  end
  if #dropped > 0 then keep_latest(own, MAX_OF_RELAY) end
end

-- The latest failed attempts of a redelivered message: `ms, attempt, status, reason, keys`.
local MAX_ATTEMPTS_BYTES, MAX_ATTEMPTS = 65536, 50
local attempts_by_key = {}
function apply.attempt(args)
  local k = key('attempts:' .. args.message)
  local tail = table.concat({ args.attempt, args.status, args.reason, table.concat(args.keys, FIELD) }, SEP)
  local entries, bytes = entries_of(read(k)), #tail + #args.ms + 1
  for _, entry in ipairs(entries) do
    if string.sub(entry, -#tail - 1) == SEP .. tail then return end
    bytes = bytes + #entry + 1
  end
  entries[#entries + 1] = args.ms .. SEP .. tail
  while bytes > MAX_ATTEMPTS_BYTES and #entries > 1 do bytes = bytes - #table.remove(entries, 1) - 1 end
  write(k, table.concat(entries, ENTRY), ttl.done)
  attempts_by_key[args.message] = nil
end
-- Returns the attempts of one notification, without the keys.
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

-- A notification that a function parked. If it is parked again, it is the same entry, with all of its attempts. A handled one leaves a
-- mark, for other messages that contain it and arrive late.
local function entry_of(id) return open_together(key('parked:' .. id)) end
-- Returns whether a replay may take an entry, or an operator may delete it: the entry has bytes, and no other replay is about to send it.
local function is_free(entry, job)
  local other = entry.fields.replay
  if not entry.fields.parts or entry.fields.place then return false end
  if not other or other == job then return true end
  local replay = open_together(key('replay:' .. other)).fields
  return not replay.json or replay.stopped ~= nil
end
local function expire_parts(id, entry, seconds)
  for i = 0, tonumber(entry.fields.parts) - 1 do expire(part_key('parked', id, i), seconds) end
end
local function take_out_of_bin(id, entry)
  if not entry.fields.place then return end
  set(entry, 'place', nil, ttl.parked)
  set(entry, 'deleted', nil, ttl.parked)
  after_documents[#after_documents + 1] = function()
    if not entry.fields.place then redis.call('ZREM', key('bin'), id) end
  end
end
local function add_attempts(entry, more)
  local attempts = entries_of(entry.fields.attempts)
  for _, one in ipairs(more) do attempts[#attempts + 1] = one end
  while #attempts > MAX_ATTEMPTS do table.remove(attempts, 1) end
  set(entry, 'attempts', table.concat(attempts, ENTRY), ttl.parked)
end
function apply.park(args)
  local entry = entry_of(args.id)
  local fields = entry.fields
  if contains(fields.handled or '', args.message) or (fields.ms == args.ms and fields.json == args.json) then return end
  -- A message parks a notification only once. The same message comes again only because the reply to its commit was lost.
  if fields.message ~= args.message then
    add_attempts(entry, attempts_of(args.message, args.key))
    add_attempts(entry, { table.concat({ args.ms, args.attempt, args.status, args.reason }, SEP) })
  end
  for i = tonumber(args.parts), (tonumber(fields.parts) or 0) - 1 do redis.call('DEL', part_key('parked', args.id, i)) end
  for _, field in ipairs({ 'ms', 'parts', 'json', 'message', 'lane' }) do set(entry, field, args[field], ttl.parked) end
  set(entry, 'handled', nil, ttl.parked)
  take_out_of_bin(args.id, entry)
  list_parked(args.id, args.place, args.lane)
  note_change(args.change)
end

-- The bin keeps deleted entries for some days, byte for byte, with their place in the list. An entry that a replay is about to send, or
-- that the relay keeps, cannot be deleted here. The entry is first added to its new list. It leaves the old list after its document says
-- so: if the script is interrupted in between, one of the lists still shows it.
function apply.bin(args)
  local entry = entry_of(args.entry)
  -- An earlier attempt may have been interrupted before the entry left the list.
  if entry.fields.place then return unlist_parked(args.entry, entry.fields.lane) end
  if not is_free(entry, '') then return end
  set(entry, 'place', redis.call('ZSCORE', key('parked'), args.entry) or entry.fields.ms, ttl.bin)
  set(entry, 'deleted', table.concat({ args.ms, args.operator }, SEP), ttl.bin)
  redis.call('ZADD', key('bin'), args.ms, args.entry)
  purge(key('bin'), 'bin')
  expire(key('bin'), ttl.bin)
  expire_parts(args.entry, entry, math.max(ttl.bin + 7200, ttl.parked))
  after_documents[#after_documents + 1] = function()
    -- A later step of the same commit may have restored it.
    if not entry.fields.place then return end
    expire_parts(args.entry, entry, ttl.bin + 7200)
    unlist_parked(args.entry, entry.fields.lane)
  end
  note_change(args.change)
end
function apply.restore(args)
  local entry = entry_of(args.entry)
  local place = entry.fields.place
  if not place then return redis.call('ZREM', key('bin'), args.entry) end
  -- An entry that would have expired meanwhile is kept for another day.
  local earliest = oldest('parked') + 86400000
  if tonumber(place) < earliest then place = string.format('%.0f', earliest) end
  expire_parts(args.entry, entry, ttl.parked)
  take_out_of_bin(args.entry, entry)
  list_parked(args.entry, place, entry.fields.lane)
  note_change(args.change)
end

-- The audit log: who changed or revealed what.
function apply.audit(args)
  local k = key('audit')
  redis.call('ZADD', k, args.ms, args.id .. SEP .. args.json)
  keep_latest(k, 100000)
  purge(k, 'audit')
  expire(k, ttl.audit)
end
