-- name: begin-generation
-- Begins a generation of takes from a list, and records the list in the registry, so that items taken from it by a blocking move are found
-- again. Returns the generation, or '' while another process holds the relay id: the takes of this process would then be refused.
local other = redis.call('GET', lease)
if other and other ~= holder then return '' end
begin()
local former, empty = string.match(redis.call('HGET', registry, field) or '', '^(%d+)(:?%d*)$')
local generation = tonumber(least)
if former and #former <= 15 then generation = math.max(generation, former + 1) end
generation = string.format('%.0f', generation)
redis.call('HSET', registry, field, generation .. (empty or ''))
return generation

-- name: take
-- Moves items into a claim: the items of an earlier blocking move, and up to `count` items of the list. It stops at `max_bytes`, which only
-- the last item may exceed. Returns {number, longest wait in ms or -1 when unknown, items left on the list, items in the order in which to
-- send them}. The number is 0 when there was nothing to take. It is -1 when a later generation was announced: the command was sent on an
-- abandoned connection, or by a process that has lost the relay id.
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

-- name: compact
-- Keeps in a claim only the items with these indexes (ARGV from `rest` on), as far as they are in it, and records the indexes in the
-- registry. Returns how many items the claim then has. A command that arrives late or twice removes nothing that a later one keeps, and a
-- claim that is gone stays gone.
begin()
local meta = redis.call('HGET', registry, number)
if not meta then return 0 end
local head, indexes, list = string.match(meta, '^(%d+:%-?%d+)@?([%d,]*)(:.*)$')
if not head then return 0 end
local items, kept = {}, {}
local function keep(index, at)
  local item = redis.call('LINDEX', claim, at)
  if item then
    items[#items + 1] = item
    kept[#kept + 1] = index
  end
end
if indexes == '' then
  for i = rest, #ARGV do keep(ARGV[i], ARGV[i]) end
else
  local wanted, at = {}, 0
  for i = rest, #ARGV do wanted[ARGV[i]] = true end
  for index in string.gmatch(indexes, '%d+') do
    if wanted[index] then keep(index, at) end
    at = at + 1
  end
end
if #items == 0 then
  redis.call('DEL', claim)
  redis.call('HDEL', registry, number, 'attempts:' .. number)
  return 0
end
-- A command that this user may not run is refused while the claim is still complete.
prove_registry(registry)
local smaller = claim .. ':smaller'
redis.call('DEL', smaller)
push_all(smaller, items)
redis.call('RENAME', smaller, claim)
redis.call('HSET', registry, number, head .. '@' .. table.concat(kept, ',') .. list)
return #items

-- name: note-settled
-- Records that an item of a claim must not be sent again, if the claim still exists.
begin()
if redis.call('HEXISTS', registry, claim) == 0 then return 0 end
return redis.call('SADD', settled, index)

-- name: note-attempts
-- Records the attempts of a claim's items, as `<index>=<attempt>,…`, beside the claim in the registry, if the claim still exists.
begin()
if redis.call('HEXISTS', registry, claim) == 0 then return 0 end
redis.call('HSET', registry, 'attempts:' .. claim, attempts)
return 1

-- name: write-back
-- Writes a claim that the server has lost, with its items (ARGV from `rest` on). Returns 1 when it did. Returns 0 when the claim exists: a
-- write whose answer was lost was faster. Also returns 0 when a later generation was announced: the process has lost the relay id, or the
-- connection was abandoned. The first write needs no memory.
if redis.call('HEXISTS', registry, number) == 1 then return 0 end
local announced = string.match(redis.call('HGET', registry, field) or '', '^%d+')
if announced and announced ~= generation then return 0 end
redis.call('DEL', claim, settled)
push_all(claim, ARGV, rest)
redis.call('HSET', registry, number, meta)
if last_number() < tonumber(number) then redis.call('SET', NUMBER_KEY, number) end
return 1

-- name: adopt
-- Moves the claims of a relay whose lease has expired to another relay, under their numbers, and the items of its blocking moves into claims
-- with new numbers. It does so in one step, so exactly one of the running relays gets them. Returns how many claims it moved; -1 when the
-- other relay is running; -2 when `holder` has lost its own lease: this command was then delayed for as long as a lease lasts, and so
-- perhaps was the other relay's renewal. A relay that left nothing and was not seen since `forget_ms` is forgotten.
if redis.call('EXISTS', other_lease) == 1 then return -1 end
if redis.call('GET', own_lease) ~= holder then return -2 end
local fields = redis.call('HGETALL', other_registry)
local moved = 0
if #fields > 0 then
  -- A command that this user may not run is refused here, before anything is moved.
  begin()
  prove_registry(other_registry)
  prove_registry(own_registry)
  local tried = redis.pcall('RENAME', other_prefix .. 'none', own_prefix .. 'none')
  if not string.find(tried.err, 'no such key', 1, true) then return redis.error_reply(tried.err) end
end
for at = 1, #fields, 2 do
  local field, meta = fields[at], fields[at + 1]
  local list = string.match(field, '^waiting:(.*)$')
  if list then
    local items = redis.call('LRANGE', waiting_prefix .. list, 0, -1)
    if #items > 0 then
      local number = next_number(least_number)
      redis.call('SET', NUMBER_KEY, number)
      for item = #items, 1, -1 do redis.call('RPUSH', own_prefix .. number, items[item]) end
      local empty = string.match(meta, '^%d+:(%d+)$')
      local wait = empty and tonumber(empty) <= tonumber(now_ms) and now_ms - empty or -1
      redis.call('HSET', own_registry, number, now_ms .. ':' .. string.format('%.0f', wait) .. ':' .. list)
      redis.call('DEL', waiting_prefix .. list)
      moved = moved + 1
    end
  elseif not string.find(field, '^attempts:') then
    local attempts = redis.call('HGET', other_registry, 'attempts:' .. field)
    redis.call('HDEL', other_registry, field, 'attempts:' .. field)
    if redis.call('EXISTS', other_prefix .. field) == 1 then
      redis.call('RENAME', other_prefix .. field, own_prefix .. field)
      if redis.call('EXISTS', other_prefix .. field .. ':settled') == 1 then
        redis.call('RENAME', other_prefix .. field .. ':settled', own_prefix .. field .. ':settled')
      end
      redis.call('HSET', own_registry, field, meta)
      if attempts then redis.call('HSET', own_registry, 'attempts:' .. field, attempts) end
      moved = moved + 1
    end
  end
end
if moved == 0 and math.abs(redis.call('ZSCORE', RELAYS_KEY, relay_id) or now_ms) < tonumber(forget_ms) then
  redis.call('ZREM', RELAYS_KEY, relay_id)
  redis.call('DEL', other_registry)
end
return moved
