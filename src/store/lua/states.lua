-- Stats of agents and campaigns, states of campaigns and diallers, latest values of any kind, and dial previews.

-- One series for each source and campaign, because the counters of one are independent of those of another.
local MAX_SERIES, MAX_POINTS = 20, 120
function apply.stats(args)
  local seconds, source = ttl[args.subject], source_of(args.stamp)
  local stats, own = open(key(args.subject .. '_stats:' .. name(args.ref))), name(source .. '|' .. args.campaign)
  local held = stats.fields['s:' .. own]
  local former = parts_of(held or '', SEP)
  if not newer(args.stamp, former[1]) then return end
  local is_reset, before = false, {}
  local names = parts_of(former[6] or '', ENTRY)
  for i = 1, #names - 1, 2 do before[names[i]] = tonumber(names[i + 1]) end
  for i = 1, #args.counters, 2 do
    local value = before[args.counters[i]]
    if value and tonumber(args.counters[i + 1]) < value then is_reset = true end
  end
  local function series_of(one) return key(args.subject .. '_series:' .. name(args.ref) .. '|' .. one) end
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
  local value = { args.stamp, args.at, resets, source, args.campaign, table.concat(args.counters, ENTRY), args.values }
  set(stats, 's:' .. own, table.concat(value, SEP), seconds)
  local series = series_of(own)
  local count = redis.call('RPUSH', series, args.at .. SEP .. (is_reset and '1' or '') .. SEP .. args.values)
  if count >= 2 * MAX_POINTS then redis.call('LTRIM', series, -MAX_POINTS, -1) end
  if is_due(stats, 'x:' .. own, seconds) or count == 1 then expire(series, seconds + 3600) end
  register(stats, args.subject .. 's', args.ref, args.subject, seconds)
  note_change(args.change)
end

-- A resync names every campaign that ever existed. An unknown one that is over is ignored.
local OVER = { stopped = true, completed = true }
function apply.state(args)
  local document = open(key(args.subject .. ':' .. name(args.ref)))
  local history = key(args.subject .. '_history:' .. name(args.ref))
  local held = document.fields.status
  local is_newer = newer(args.stamp, document.fields.stamp)
  if is_resync(args.stamp) then
    if not held and OVER[args.status] then return end
    -- The resync confirms the state, or the state was heard since: nothing is added to the history.
    if held == args.status or not is_newer then history = nil end
  end
  if not history or add_once(history, args.ms, args.id, args.json, 100, ttl.campaign) then note_state(args.change, held, not is_newer) end
  if is_newer then
    if document.fields.status ~= args.status then set(document, 'since', args.at, ttl.campaign) end
    set(document, 'status', args.status, ttl.campaign)
    set(document, 'stamp', args.stamp, ttl.campaign)
    set(document, 'source', args.source, ttl.campaign)
  end
  register(document, args.subject .. 's', args.ref, 'campaign', ttl.campaign)
end

-- The latest values of any kind, each once, limited in number and in bytes.
local STAMP = '^[^' .. SEP .. ']*' .. SEP .. '[^' .. SEP .. ']*' .. SEP .. '([^' .. SEP .. ']*)'
local MAX_VALUES, MAX_VALUE_BYTES = 20, 256 * 1024
function apply.latest(args)
  local k, bytes = key('kind:' .. name(args.kind) .. ':' .. name(args.ref)), 0
  local entries = entries_of(read(k))
  for _, entry in ipairs(entries) do
    if string.match(entry, '^[^' .. SEP .. ']*' .. SEP .. '([^' .. SEP .. ']*)') == args.id then return end
    bytes = bytes + #entry
  end
  local is_stale = args.stale_at ~= '' and now > tonumber(args.stale_at)
  local entry = table.concat({ args.ms, args.id, args.stamp, is_stale and '1' or '', args.json }, SEP)
  entries[#entries + 1], bytes = entry, bytes + #entry
  while #entries > MAX_VALUES or (#entries > 1 and bytes > MAX_VALUE_BYTES) do
    local first = 1
    for i, other in ipairs(entries) do
      if newer(string.match(entries[first], STAMP), string.match(other, STAMP)) then first = i end
    end
    bytes = bytes - #table.remove(entries, first)
  end
  write(k, table.concat(entries, ENTRY), ttl.kind)
  note_change(args.change)
end

local function part_key(args, id, index) return key(args .. '_part:' .. name(id) .. ':' .. index) end
function apply.part(args) redis.call('SET', part_key(args.subject, args.id, args.index), args.text, 'EX', ttl[args.subject]) end
local function drop_parts(args, id, count)
  local keys = {}
  for i = 0, (tonumber(count) or 0) - 1 do keys[#keys + 1] = part_key(args, id, i) end
  in_portions(keys, function(portion) redis.call('DEL', unpack(portion)) end)
end

function apply.preview(args)
  local preview = open(key('preview:' .. name(args.ref)))
  local held = preview.fields
  if newer(args.stamp, held.stamp) then
    if held.id and held.id ~= args.id then drop_parts('preview', held.id, held.parts) end
    for _, field in ipairs({ 'stamp', 'id', 'parts', 'at' }) do set(preview, field, args[field], ttl.preview) end
    register(preview, 'campaigns', args.ref, 'campaign', ttl.preview)
    note_change(args.change)
  elseif held.id ~= args.id then
    drop_parts('preview', args.id, args.parts)
  end
end
