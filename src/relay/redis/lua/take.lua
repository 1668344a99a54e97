-- Moves items into a claim: the items of an earlier blocking move, and up to `count` items, `max_bytes` and one item of the list. Returns
-- {number, longest wait in ms or -1 when unknown, items left on the list, items in the order in which to send them}. The number is 0 when
-- there was nothing to take. It is -1 when a later generation was announced: the command was sent on an abandoned connection, or by a
-- process that has lost the relay id.
--
-- The longest wait follows from a time T0 before which no item of the list arrived. T0 is when the list was last empty. For a list that is
-- never empty, a mark records how many items it had at a later time T1: once that many were taken, T0 is T1. An item taken by a blocking
-- move arrived after this relay last found both the list and its `waiting` list empty.
local from_left = list_end == 'left'
count, max_bytes = tonumber(count), tonumber(max_bytes)
local field, mark = 'waiting:' .. list, 'mark:' .. list
local announced, own_empty = string.match(redis.call('HGET', registry, field) or '', '^(%d+):?(%d*)$')
if announced ~= generation then return {-1, 0, 0, {}} end

local items, bytes = {}, 0
-- A few at a time: the size of the next item is unknown, and reading too much blocks the server.
local function gather(key, is_left, most)
  local at = 0
  while at < most and bytes < max_bytes do
    local size = math.min(8, most - at)
    local part
    if is_left then part = redis.call('LRANGE', key, at, at + size - 1)
    else part = redis.call('LRANGE', key, -at - size, -at - 1) end
    for i = 1, #part do
      if bytes >= max_bytes then break end
      local item = is_left and part[i] or part[#part - i + 1]
      items[#items + 1] = item
      bytes = bytes + #item
      at = at + 1
    end
    if #part < size then break end
  end
  return at
end
local waits = redis.call('LLEN', waiting)
local moved, taken = 0, 0
if waits > 0 then moved = gather(waiting, false, waits) end
if moved == waits then taken = gather(list, from_left, count - moved) end

local function note_empty()
  redis.pcall('HSET', SEEN_EMPTY_KEY, list, now_ms)
  redis.pcall('HDEL', SEEN_EMPTY_KEY, mark)
  if moved == waits then redis.pcall('HSET', registry, field, generation .. ':' .. now_ms) end
end
begin()
if #items == 0 then
  if count > 0 then note_empty() end
  return {0, 0, 0, items}
end
-- A command that this user may not run is refused here, before anything is copied.
if taken > 0 then redis.call('LTRIM', list, 0, -1) end
redis.call('LTRIM', waiting, 0, -1)
prove_registry(registry)

-- A time in the future means that the clock was set back, and the wait is unknown. The clocks of several relays may differ a little.
local function waited_since(time)
  time = string.match(time or '', '^%d+$') and tonumber(time)
  if not time or time > now_ms + 1000 then return -1 end
  if time > tonumber(now_ms) then return 1000 end
  return now_ms - time
end
local wait = 0
if moved > 0 then wait = waited_since(own_empty) end
if taken > 0 and wait >= 0 then
  local of_list = waited_since(redis.call('HGET', SEEN_EMPTY_KEY, list) or '')
  if of_list < 0 or of_list > wait then wait = of_list end
end

-- First copy, then trim.
local number = next_number(least_number)
local claim = claim_prefix .. number
redis.call('SET', NUMBER_KEY, number)
redis.call('DEL', claim)
push_all(claim, items)
redis.call('HSET', registry, number, now_ms .. ':' .. string.format('%.0f', wait) .. ':' .. list)
if moved > 0 then redis.call('LTRIM', waiting, 0, -moved - 1) end
if taken > 0 then
  if from_left then redis.call('LTRIM', list, taken, -1) else redis.call('LTRIM', list, 0, -taken - 1) end
end
if count == 0 then return {tonumber(number), wait, 0, items} end
local left = redis.call('LLEN', list)
if left == 0 then note_empty()
elseif taken > 0 then
  local at, rest = string.match(redis.call('HGET', SEEN_EMPTY_KEY, mark) or '', '^(%d+):(%d+)$')
  if at then rest = math.min(tonumber(rest) - taken, left) end
  if at and rest > 0 then redis.pcall('HSET', SEEN_EMPTY_KEY, mark, at .. ':' .. rest)
  else
    if at then redis.pcall('HSET', SEEN_EMPTY_KEY, list, at) end
    redis.pcall('HSET', SEEN_EMPTY_KEY, mark, now_ms .. ':' .. left)
  end
end
return {tonumber(number), wait, left, items}
