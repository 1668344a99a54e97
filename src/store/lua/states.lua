-- Stats of agents and campaigns, states of campaigns and diallers, latest values of any kind, and dial previews.

-- One series for each source and campaign, because the counters of one are independent of those of another.
local MAX_SERIES, MAX_POINTS = 20, 120
function apply.stats(of)
  local seconds, source = ttl[of.of], source_of(of.stamp)
  local stats, own = open(key(of.of .. '_stats:' .. name(of.ref))), name(source .. '|' .. of.campaign)
  local held = stats.fields['s:' .. own]
  local former = parts_of(held or '', SEP)
  if not newer(of.stamp, former[1]) then return end
  local is_reset, before = false, {}
  local names = parts_of(former[6] or '', ENTRY)
  for i = 1, #names - 1, 2 do before[names[i]] = tonumber(names[i + 1]) end
  for i = 1, #of.counters, 2 do
    local value = before[of.counters[i]]
    if value and tonumber(of.counters[i + 1]) < value then is_reset = true end
  end
  local function series_of(one) return key(of.of .. '_series:' .. name(of.ref) .. '|' .. one) end
  if not held then
    local count, first, first_ms = 0, nil, nil
    for field, value in pairs(stats.fields) do
      local one = string.match(field, '^s:(.*)$')
      if one then
        local _, _, ms = split(value)
        count = count + 1
        if not first or ms < first_ms then first, first_ms = one, ms end
      end
    end
    if count >= MAX_SERIES then
      set(stats, 's:' .. first, nil, seconds)
      set(stats, 'x:' .. first, nil, seconds)
      redis.call('DEL', series_of(first))
    end
  end
  local resets = (tonumber(former[3] or '') or 0) + (is_reset and 1 or 0)
  local value = { of.stamp, of.at, resets, source, of.campaign, table.concat(of.counters, ENTRY), of.values }
  set(stats, 's:' .. own, table.concat(value, SEP), seconds)
  local series = series_of(own)
  local count = redis.call('RPUSH', series, of.at .. SEP .. (is_reset and '1' or '') .. SEP .. of.values)
  if count >= 2 * MAX_POINTS then redis.call('LTRIM', series, -MAX_POINTS, -1) end
  if is_due(stats, 'x:' .. own, seconds) or count == 1 then expire(series, seconds + 3600) end
  register(stats, of.of .. 's', of.ref, of.of, seconds)
  note_change(of.change)
end

-- A resync names every campaign that ever was.
local OVER = { stopped = true, completed = true }
function apply.state(of)
  local document = open(key(of.of .. ':' .. name(of.ref)))
  local history = key(of.of .. '_history:' .. name(of.ref))
  local held = document.fields.status
  local is_newer = newer(of.stamp, document.fields.stamp)
  if is_resync(of.stamp) then
    if not held and OVER[of.status] then return end
    -- The resync confirms the state, or the state was heard since: nothing for the history.
    if held == of.status or not is_newer then history = nil end
  end
  if not history or add_once(history, of.ms, of.id, of.json, 100, ttl.campaign) then note_state(of.change, held, not is_newer) end
  if is_newer then
    if document.fields.status ~= of.status then set(document, 'since', of.at, ttl.campaign) end
    set(document, 'status', of.status, ttl.campaign)
    set(document, 'stamp', of.stamp, ttl.campaign)
    set(document, 'source', of.source, ttl.campaign)
  end
  register(document, of.of .. 's', of.ref, 'campaign', ttl.campaign)
end

-- The latest values of any kind, each once, limited in number and in bytes.
local STAMP = '^[^' .. SEP .. ']*' .. SEP .. '[^' .. SEP .. ']*' .. SEP .. '([^' .. SEP .. ']*)'
local MAX_VALUES, MAX_VALUE_BYTES = 20, 256 * 1024
function apply.latest(of)
  local k, bytes = key('kind:' .. name(of.kind) .. ':' .. name(of.ref)), 0
  local entries = entries_of(read(k))
  for _, entry in ipairs(entries) do
    if string.match(entry, '^[^' .. SEP .. ']*' .. SEP .. '([^' .. SEP .. ']*)') == of.id then return end
    bytes = bytes + #entry
  end
  local is_stale = of.stale_at ~= '' and now > tonumber(of.stale_at)
  local entry = table.concat({ of.ms, of.id, of.stamp, is_stale and '1' or '', of.json }, SEP)
  entries[#entries + 1], bytes = entry, bytes + #entry
  while #entries > MAX_VALUES or (#entries > 1 and bytes > MAX_VALUE_BYTES) do
    local first = 1
    for i, other in ipairs(entries) do
      if newer(string.match(entries[first], STAMP), string.match(other, STAMP)) then first = i end
    end
    bytes = bytes - #table.remove(entries, first)
  end
  write(k, table.concat(entries, ENTRY), ttl.kind)
  note_change(of.change)
end

local function part_key(of, id, index) return key(of .. '_part:' .. name(id) .. ':' .. index) end
function apply.part(of) redis.call('SET', part_key(of.of, of.id, of.index), of.text, 'EX', ttl[of.of]) end
local function drop_parts(of, id, count)
  local keys = {}
  for i = 0, (tonumber(count) or 0) - 1 do keys[#keys + 1] = part_key(of, id, i) end
  in_portions(keys, function(portion) redis.call('DEL', unpack(portion)) end)
end

function apply.preview(of)
  local preview = open(key('preview:' .. name(of.ref)))
  local held = preview.fields
  if newer(of.stamp, held.stamp) then
    if held.id and held.id ~= of.id then drop_parts('preview', held.id, held.parts) end
    for _, field in ipairs({ 'stamp', 'id', 'parts', 'at' }) do set(preview, field, of[field], ttl.preview) end
    register(preview, 'campaigns', of.ref, 'campaign', ttl.preview)
    note_change(of.change)
  elseif held.id ~= of.id then
    drop_parts('preview', of.id, of.parts)
  end
end
