-- CDRs: a document for each, their counts, and the indexes that find them.

-- An index covers a quarter of an hour of `dialed_at`: a hash whose values are concatenated entries of CDRs. Every CDR has an entry for
-- each of its terms: its time, campaign, agent, contact and numbers. A term has three fields, each finer than the previous one, and an
-- entry goes into the first field that is not full. So few CDRs use few fields, many CDRs use many, and no entry ever moves. Reader:
-- src/store/reads/cdr-reads.ts
local QUARTER_MS = 900000
-- Bytes at which a field is full. A script reads all three fields of each term, so they are small; the finest field takes the rest.
local FULL, FULL_TERM = 1024, 512
-- This many entries take 60 MB of the 100 MB that Upstash allows for a record. Further CDRs are found only by their ids.
local MAX_ENTRIES = 2500000
local MAX_QUARTERS = 20000
-- Digits in the order of their codes, so that entries sort as text. `DIGITS` of src/store/effects/cdr-effects.ts must be the same.
local DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~'
local function digit(value) return string.sub(DIGITS, value + 1, value + 1) end
local function to_digits(value, count)
  local text = ''
  for _ = 1, count do
    text, value = digit(value % 64) .. text, math.floor(value / 64)
  end
  return text
end

local quarters, quarter_order = {}, {}
local function fields_of_time(kind, offset, of)
  local minute = kind .. math.floor(offset / 60000)
  return { kind .. of, minute .. of, minute .. ':' .. math.floor(offset % 60000 / 2000) .. of }
end
local function fields_of_term(hash) return { 'h' .. string.sub(hash, 1, 1), 'h' .. string.sub(hash, 1, 2), 'h' .. string.sub(hash, 1, 3) } end

-- @param is_new whether the CDR certainly has no entries yet
local function index_cdr(id, listed_ms, campaign, terms, is_new)
  local number = math.floor(listed_ms / QUARTER_MS)
  local offset = listed_ms - number * QUARTER_MS
  if not quarters[number] then
    quarters[number] = {}
    quarter_order[#quarter_order + 1] = number
  end
  local entries, entry = quarters[number], id .. to_digits(offset, 4)
  entries[#entries + 1] = { fields = fields_of_time('t', offset, ''), entry = entry, full = FULL, is_new = is_new }
  if campaign ~= '' then
    entries[#entries + 1] = { fields = fields_of_time('c', offset, '|' .. name(campaign)), entry = entry, full = FULL, is_new = is_new }
  end
  for _, term in ipairs(terms) do
    entries[#entries + 1] = { fields = fields_of_term(term), entry = entry .. string.sub(term, 4, 5), full = FULL_TERM, is_new = is_new }
  end
end

local function holds(text, entry)
  local from = 1
  while true do
    local at = string.find(text, entry, from, true)
    if not at then return false end
    if (at - 1) % #entry == 0 then return true end
    from = at + 1
  end
end

local function write_quarter(number)
  local k, entries = key('cdrs:' .. string.format('%.0f', number)), quarters[number]
  local names, values, sizes, added, added_order = { 'about' }, {}, {}, {}, {}
  for _, one in ipairs(entries) do
    for _, field in ipairs(one.fields) do
      if not values[field] then
        values[field] = ''
        names[#names + 1] = field
      end
    end
  end
  in_portions(names, function(portion)
    for i, value in ipairs(redis.call('HMGET', k, unpack(portion))) do
      values[portion[i]], sizes[portion[i]] = value or '', #(value or '')
    end
  end)
  local count, due_ms = string.match(values.about, '^(%d+) (%d+)$')
  count = tonumber(count) or 0
  for _, one in ipairs(entries) do
    local is_held = count >= MAX_ENTRIES
    if not one.is_new then
      for _, field in ipairs(one.fields) do
        is_held = is_held or holds(values[field], one.entry) or (added[field] and holds(table.concat(added[field]), one.entry))
      end
    end
    if not is_held then
      local chosen = one.fields[3]
      for i = 2, 1, -1 do
        if sizes[one.fields[i]] < one.full then chosen = one.fields[i] end
      end
      if not added[chosen] then
        added[chosen] = {}
        added_order[#added_order + 1] = chosen
      end
      added[chosen][#added[chosen] + 1] = one.entry
      sizes[chosen], count = sizes[chosen] + #one.entry, count + 1
    end
  end
  if #added_order == 0 then return end
  due_ms = due_ms or '0'
  local is_due, about = now >= tonumber(due_ms), string.format('%.0f', count) .. ' '
  local written_pairs = { 'about', about .. due_ms }
  for _, field in ipairs(added_order) do
    written_pairs[#written_pairs + 1], written_pairs[#written_pairs + 2] = field, values[field] .. table.concat(added[field])
  end
  in_portions(written_pairs, function(portion) redis.call('HSET', k, unpack(portion)) end)
  if is_due then
    -- The index is kept for longer than any of its CDRs. The last of them may arrive within this hour.
    local seconds, all = ttl.cdr + 7200, key('quarters')
    expire(k, seconds)
    redis.call('ZADD', all, string.format('%.0f', now + seconds * 1000), string.format('%.0f', number))
    redis.call('ZREMRANGEBYSCORE', all, '-inf', string.format('%.0f', now))
    keep_latest(all, MAX_QUARTERS)
    expire(all, seconds)
    -- Recorded after the work: if the database rejects one of these commands, the next commit tries again.
    redis.call('HSET', k, 'about', about .. string.format('%.0f', now + HOUR_MS))
  end
end
local function write_index()
  for _, number in ipairs(quarter_order) do write_quarter(number) end
end

-- Figures of a campaign and a day (UTC). For each quarter of an hour: the number of answered CDRs and their times, the number of CDRs by
-- end reason, and the number of those without an agent. Any text may be an end reason: beyond a limit, further reasons are counted
-- together.
local MAX_REASONS, FIGURES_SECONDS = 30, ttl.cdr + 86400
local function figures_of(counted)
  local quarter, campaign = string.match(counted, '^(%d+)' .. FIELD .. '([^' .. FIELD .. ']*)')
  if not quarter then return end
  local day, own = math.floor(tonumber(quarter) / 96), tostring(tonumber(quarter) % 96)
  local k = key('figures:' .. campaign .. ':' .. string.format('%.0f', day))
  open_field(k, 'registered')
  return open_field(k, own), own
end
-- Returns a list of end reasons and their counts, with the count of one reason changed by `by`.
local function count_reason(list, reason, by)
  local counts, is_known, is_full = entries_of(list), false, false
  for i = 1, #counts - 1, 2 do
    if counts[i] == reason then is_known = true end
    is_full = i > 2 * MAX_REASONS - 2
  end
  if not is_known and is_full then reason = 'more' end
  local kept, is_counted = {}, false
  for i = 1, #counts - 1, 2 do
    local count = tonumber(counts[i + 1])
    if counts[i] == reason then
      count, is_counted = count + by, true
    end
    if count > 0 then
      kept[#kept + 1], kept[#kept + 2] = counts[i], string.format('%.0f', count)
    end
  end
  if not is_counted and by > 0 then
    kept[#kept + 1], kept[#kept + 2] = reason, '1'
  end
  return table.concat(kept, ENTRY)
end
local function count_cdr(counted, by)
  local figures, field = figures_of(counted)
  local quarter, _, reason, answered, talk, hold, without_agent = unpack(parts_of(counted, FIELD))
  quarter = tonumber(quarter)
  -- An hour is kept as long as a part of it is within the time for which CDRs are kept.
  if not figures or (quarter + 4) * QUARTER_MS <= oldest('cdr') then return end
  local held, sums = parts_of(figures.fields[field] or '', SEP), {}
  for i, value in ipairs({ answered or '', talk or '', hold or '' }) do
    sums[i] = string.format('%.14g', math.max(0, (tonumber(held[i] or '') or 0) + by * (tonumber(value) or 0)))
  end
  sums[4], sums[5] = count_reason(held[4], reason, by), held[5] or ''
  if without_agent then sums[5] = count_reason(sums[5], reason, by) end
  set(figures, field, table.concat(sums, SEP), FIGURES_SECONDS)
end

-- A stored CDR: digest, seconds between receipt and writing, the values by which it is counted, then the event: id, time (Unix ms; with a
-- leading `+`, relative to the number in the id), and the attributes that do not follow from these; last, the packet. Revisions follow in
-- the same form.
local MAX_REVISIONS, MAX_CDR_BYTES = 20, 512 * 1024
local function ms_of(parts)
  local delta = string.match(parts[5], '^%+(.*)$')
  return delta and tonumber(string.match(parts[4], '/(%d+)/%d+$')) + tonumber(delta) or tonumber(parts[5])
end
local function stamp_of(parts)
  local id, transport, sequence, source = parts[4], parts[6], parts[7], parts[8]
  local own, letter, number, index = string.match(id, '^(.*)/(%a)/(%d+)/(%d+)$')
  if transport == '' then transport = ({ l = 'list', p = 'pubsub', r = 'resync', o = 'relay' })[letter] end
  if sequence == '' then sequence = string.format('%016.0f.%010.0f', tonumber(number), tonumber(index)) end
  if source == '' then source = own end
  local ms = string.format('%.0f', ms_of(parts))
  return table.concat({ (string.gsub(source, '|', '_')), transport, (string.gsub(sequence, '|', '_')), ms, id }, '|')
end

function apply.cdr(args)
  end_call(args)
  local k = key('cdr:' .. args.id)
  local listed_ms = tonumber(args.listed_ms)
  -- The clock of a relay may be wrong: the CDR must not precede all others for ever.
  if listed_ms > now + 86400000 then listed_ms = now end
  local entries, former = entries_of(read(k)), nil
  if entries[1] then
    former = parts_of(entries[1], SEP)
    -- It counts until it has expired by the clock of the functions.
    if ms_of(former) + tonumber(former[2]) * 1000 <= oldest('cdr') then former = nil end
  end
  local delay = string.format('%.0f', math.floor((now - tonumber(args.ms)) / 1000))
  local counted = table.concat({ string.format('%.0f', math.floor(listed_ms / QUARTER_MS)), name(args.campaign), args.counts }, FIELD)
  local function entry_of(as) return table.concat({ args.digest, delay, as, args.id_of_event, args.received, args.event, args.packet }, SEP) end
  if not former then
    write(k, entry_of(counted), ttl.cdr)
    count_cdr(counted, 1)
  else
    for _, entry in ipairs(entries) do
      if string.match(entry, '^[^' .. SEP .. ']*') == args.digest then return end
    end
    if newer(args.stamp, stamp_of(former)) then
      table.insert(entries, 1, entry_of(counted))
      count_cdr(former[3], -1)
      count_cdr(counted, 1)
    else
      table.insert(entries, 2, entry_of(''))
    end
    local bytes = 0
    for i, entry in ipairs(entries) do
      bytes = bytes + #entry
      if i > 1 and (i > MAX_REVISIONS + 1 or bytes > MAX_CDR_BYTES) then entries[i] = nil end
    end
    write(k, table.concat(entries, ENTRY), ttl.cdr)
    if string.match(entries[1], '^[^' .. SEP .. ']*') ~= args.digest then
      note_change(args.change)
      return
    end
  end
  if args.campaign ~= '' then register(figures_of(counted), 'campaigns', args.campaign, 'campaign', FIGURES_SECONDS) end
  index_cdr(args.id, listed_ms, args.campaign, args.terms, not former)
  note_change(args.change)
end
