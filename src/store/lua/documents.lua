-- A document is a string of fields: name, value, name, value … One MGET reads the documents that a commit knows beforehand. The steps
-- change them here, and each changed document is written once, with its expiry. A batch therefore costs two commands, and one more for each
-- document that it changes.
local texts, written, write_order = {}, {}, {}
local declared = {}
for i = 1, tonumber(ARGV[5]) do declared[i] = KEYS[i] end
in_portions(declared, function(keys)
  local values = redis.call('MGET', unpack(keys))
  for i, k in ipairs(keys) do texts[k] = values[i] end
end)

-- Returns the text under a key; false if there is none, or a value of another type, which MGET reports as missing.
local function read(k)
  if texts[k] == nil then texts[k] = redis.call('MGET', k)[1] end
  return texts[k]
end
-- Reads several documents that steps are about to open, in one command.
local function read_ahead(keys)
  local unknown = {}
  for _, k in ipairs(keys) do
    if texts[k] == nil then unknown[#unknown + 1] = k end
  end
  in_portions(unknown, function(some)
    for i, text in ipairs(redis.call('MGET', unpack(some))) do texts[some[i]] = text end
  end)
end
local function write(k, text, seconds)
  if not written[k] then write_order[#write_order + 1] = k end
  texts[k], written[k] = text, seconds
end

local documents, document_order = {}, {}
local function without_separator(text)
  if not string.find(text, FIELD, 1, true) then return text end
  return (string.gsub(text, FIELD, ' '))
end
local function add_document(k, fields, rest)
  documents[k] = { key = k, fields = fields, rest = rest }
  document_order[#document_order + 1] = documents[k]
  return documents[k]
end
local function open(k)
  if documents[k] then return documents[k] end
  local parts, fields = parts_of(read(k) or '', FIELD), {}
  for i = 1, #parts - 1, 2 do fields[parts[i]] = parts[i + 1] end
  return add_document(k, fields, '')
end
-- Opens one field of a long document, and keeps the rest as one text. No value may be equal to a field's name.
local function open_field(k, field)
  local document = documents[k] or add_document(k, {}, read(k) and FIELD .. read(k) or '')
  if document.fields[field] then return document end
  local rest = document.rest
  local from, to = string.find(rest, FIELD .. field .. FIELD, 1, true)
  if from then
    local stop = string.find(rest, FIELD, to + 1, true) or #rest + 1
    document.fields[field], document.rest = string.sub(rest, to + 1, stop - 1), string.sub(rest, 1, from - 1) .. string.sub(rest, stop)
  end
  return document
end
-- Deletes a key, and discards what was to be written to it.
local function drop(k)
  redis.call('DEL', k)
  texts[k], written[k] = false, nil
  if documents[k] then documents[k].fields, documents[k].rest, documents[k].seconds = {}, '', nil end
end
-- Changes a field (nil removes it). The document is written at the end, and expires this many seconds from now.
local function set(document, field, value, seconds)
  field, value = without_separator(field), value and without_separator(value)
  if document.fields[field] == value then return end
  document.fields[field], document.seconds = value, seconds
end
-- Returns whether an hourly task is due, and records that it was done.
local function is_due(document, field, seconds)
  local last = tonumber(document.fields[field] or '')
  if last and now - last < HOUR_MS then return false end
  set(document, field, string.format('%.0f', now), seconds)
  return true
end

-- Opens a document that must change atomically with others of its kind: one command writes all of them.
local function open_together(k)
  local document = open(k)
  document.is_together = true
  return document
end

-- Work that must follow the documents. If the database interrupts the script, an entry is still where its document says.
local after_documents = {}

local function write_documents()
  local together = {}
  for _, document in ipairs(document_order) do
    if document.seconds then
      local parts, count = {}, 0
      for field, value in pairs(document.fields) do
        parts[count + 1], parts[count + 2], count = field, value, count + 2
      end
      write(document.key, table.concat(parts, FIELD) .. document.rest, document.seconds)
      if document.is_together then together[document.key] = true end
    end
  end
  local pairs_of = {}
  for _, k in ipairs(write_order) do
    if written[k] and together[k] then
      pairs_of[#pairs_of + 1], pairs_of[#pairs_of + 2] = k, texts[k]
    elseif written[k] then
      redis.call('SET', k, texts[k], 'EX', written[k])
    end
  end
  if #pairs_of == 2 then
    redis.call('SET', pairs_of[1], pairs_of[2], 'EX', written[pairs_of[1]])
  else
    in_portions(pairs_of, function(some) redis.call('MSET', unpack(some)) end)
    for i = 1, #pairs_of, 2 do expire(pairs_of[i], written[pairs_of[i]]) end
  end
end

-- Sets of names in alphabetical order. A second set holds the time when each name was last heard, so that names without records are
-- removed. A document is registered once an hour, and all names of a batch at once.
local registered, sets = {}, {}
local function register_name(set_name, ref, lifetime)
  if not registered[set_name] then
    registered[set_name] = { lifetime = lifetime, names = {}, is_in = {} }
    sets[#sets + 1] = set_name
  end
  local own = registered[set_name]
  if own.is_in[ref] then return end
  own.is_in[ref], own.names[#own.names + 1] = true, ref
end
-- @param lifetime the part whose expiry applies to the reference; the document itself expires after `seconds`
local function register(document, set_name, ref, lifetime, seconds)
  if is_due(document, 'registered', seconds) then register_name(set_name, ref, lifetime) end
end
local function write_registers()
  for _, set_name in ipairs(sets) do
    local own, names, heard = registered[set_name], key(set_name), key(set_name .. '_heard')
    local by_name, by_time = {}, {}
    for _, ref in ipairs(own.names) do
      local short = name(ref)
      if short ~= ref then redis.call('SET', key('name:' .. short), ref, 'EX', ttl[own.lifetime]) end
      by_name[#by_name + 1], by_name[#by_name + 2] = 0, short
      by_time[#by_time + 1], by_time[#by_time + 2] = string.format('%.0f', now), short
    end
    in_portions(by_name, function(pairs_of) redis.call('ZADD', names, unpack(pairs_of)) end)
    in_portions(by_time, function(pairs_of) redis.call('ZADD', heard, unpack(pairs_of)) end)
    local gone = purge(heard, own.lifetime)
    if #gone > 0 then redis.call('ZREM', names, unpack(gone)) end
    expire(names, ttl[own.lifetime])
    expire(heard, ttl[own.lifetime])
  end
end

-- A list stored as one text. Keeps the latest entries, each once; an entry begins with its time (Unix ms) and its id. An entry is a copy if
-- it has the same id, or if `is_better` returns true or false for it: whether the new entry is better. The better copy stays. Returns
-- whether the list has changed.
local function add_once(k, ms, id, rest, most, seconds, is_better)
  local entries, head, entry = entries_of(read(k)), SEP .. id .. SEP, ms .. SEP .. id .. SEP .. rest
  local first, first_ms
  for i, other in ipairs(entries) do
    local at = string.find(other, SEP, 1, true)
    if string.sub(other, at, at + #head - 1) == head then return false end
    local better = is_better and is_better(other)
    if better == false then return false end
    if better then
      table.remove(entries, i)
      entries[#entries + 1] = entry
      write(k, table.concat(entries, ENTRY), seconds)
      return true
    end
    local other_ms = tonumber(string.sub(other, 1, at - 1))
    if not first or other_ms < first_ms then first, first_ms = i, other_ms end
  end
  entries[#entries + 1] = entry
  if #entries > most then
    if first_ms > tonumber(ms) then return false end
    table.remove(entries, first)
  end
  write(k, table.concat(entries, ENTRY), seconds)
  return true
end

-- The change stream: one entry per commit, with its changes in order. If a commit has too many changes, its entry contains only their
-- number, and readers of the stream read everything again. The entry also names the written documents of the wall, for lua/wall.lua;
-- without these, the wall is read again.
local MAX_COMMITS, MAX_CHANGES_BYTES = 4000, 16384
local changes, changes_bytes = {}, 0
local function note_change(change)
  changes[#changes + 1], changes_bytes = change, changes_bytes + #change + 1
end
-- Adds the change of a state, with the previous state if that is a plain word, which needs no escape in JSON and contains no number. A
-- state that arrived late is marked `late` instead.
local function note_state(change, former, is_late)
  local word = former and string.match(former, '^[%l_]+$')
  local more = is_late and ',"late":true' or word and ',"from":"' .. word .. '"' or ''
  note_change(string.sub(change, 1, -2) .. more .. '}')
end
local OF_WALL = { agent = true, campaign = true, figures = true }
local function written_of_wall()
  local names = {}
  for _, document in ipairs(document_order) do
    local own = document.seconds and string.sub(document.key, #prefix + 1)
    if own and OF_WALL[string.match(own, '^[^:]*')] then names[#names + 1] = own end
  end
  return table.concat(names, ENTRY)
end
-- Expiries of keys that are not documents are renewed once an hour; this document holds the times.
local UPKEEP_SECONDS = 86400
local upkeep = open(key('upkeep'))
local function write_changes()
  local names = written_of_wall()
  if #changes == 0 and names == '' then return end
  local field = changes_bytes > MAX_CHANGES_BYTES and 'many' or 'changes'
  local entry = { field, field == 'many' and #changes or '[' .. table.concat(changes, ',') .. ']' }
  if #names <= MAX_CHANGES_BYTES then entry[3], entry[4] = 'documents', names end
  redis.call('XADD', key('changes'), 'MAXLEN', '~', MAX_COMMITS, '*', unpack(entry))
  if is_due(upkeep, 'changes', UPKEEP_SECONDS) then expire(key('changes'), ttl.changes) end
end

local apply = {}
