import { BEGIN, NEXT_NUMBER, PROVE_REGISTRY } from './lua-parts.ts'

/**
 * Moves items into a claim. It takes nothing when the generation is not the last one that was announced: the command was sent on a
 * connection that has been given up, or by a process that has lost the relay id. First copy, then trim.
 *
 * How long an item may have waited follows from what is known of the list: all that is on it came after a time T0. T0 is when the list
 * was last empty. For a list that never is, a mark says how many items it had at a later time T1: when so many were taken, T0 is T1.
 * An item that a blocking move took arrived after this relay last found both the list and its `waiting` list empty.
 */
export const TAKE = `${NEXT_NUMBER}${PROVE_REGISTRY}
local list, waiting, registry, number, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local count, max_bytes, from_left, now, prefix = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == 'left', ARGV[4], ARGV[5]
local least, generation = ARGV[6], ARGV[7]
local field, mark = 'waiting:' .. list, 'mark:' .. list
local announced, own_empty = string.match(redis.call('HGET', registry, field) or '', '^(%d+):?(%d*)$')
if announced ~= generation then return {-1, 0, 0, {}} end
local items, bytes = {}, 0
-- Few at a time: nobody knows how large the next one is, and what is read in vain blocks the server.
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
  redis.pcall('HSET', seen, list, now)
  redis.pcall('HDEL', seen, mark)
  if moved == waits then redis.pcall('HSET', registry, field, generation .. ':' .. now) end
end
if #items == 0 then
  ${BEGIN}
  if count > 0 then note_empty() end
  return {0, 0, 0, items}
end
${BEGIN}
-- Whatever is refused to this user is refused here, before anything is copied.
if taken > 0 then redis.call('LTRIM', list, 0, -1) end
redis.call('LTRIM', waiting, 0, -1)
prove_registry(registry)
-- A time in the future: the clock was set back, and nobody knows; the clocks of several relays may differ a little.
local function waited_since(time)
  time = string.match(time or '', '^%d+$') and tonumber(time)
  if not time or time > now + 1000 then return -1 end
  if time > tonumber(now) then return 1000 end
  return now - time
end
local wait = 0
if moved > 0 then wait = waited_since(own_empty) end
if taken > 0 and wait >= 0 then
  local of_list = waited_since(redis.call('HGET', seen, list) or '')
  if of_list < 0 or of_list > wait then wait = of_list end
end
local n = next_number(number, least)
local claim = prefix .. n
redis.call('SET', number, n)
redis.call('DEL', claim)
for from = 1, #items, 500 do
  redis.call('RPUSH', claim, unpack(items, from, math.min(from + 499, #items)))
end
redis.call('HSET', registry, n, now .. ':' .. string.format('%.0f', wait) .. ':' .. list)
if moved > 0 then redis.call('LTRIM', waiting, 0, -moved - 1) end
if taken > 0 then
  if from_left then redis.call('LTRIM', list, taken, -1) else redis.call('LTRIM', list, 0, -taken - 1) end
end
if count == 0 then return {tonumber(n), wait, 0, items} end
local left = redis.call('LLEN', list)
if left == 0 then note_empty()
elseif taken > 0 then
  local at, rest = string.match(redis.call('HGET', seen, mark) or '', '^(%d+):(%d+)$')
  if at then rest = math.min(tonumber(rest) - taken, left) end
  if at and rest > 0 then redis.pcall('HSET', seen, mark, at .. ':' .. rest)
  else
    if at then redis.pcall('HSET', seen, list, at) end
    redis.pcall('HSET', seen, mark, now .. ':' .. left)
  end
end
return {tonumber(n), wait, left, items}
`

/**
 * Begins a generation of takes from a list, and names the list in the registry, so that what a blocking move took from it is found
 * again. Not while another process holds the relay id: its takes would be the ones that are refused.
 */
export const ANNOUNCE_WAITING = `
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[3] then return '' end
${BEGIN}
local former, empty = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^(%d+)(:?%d*)$')
local generation = tonumber(ARGV[2])
if former and #former <= 15 then generation = math.max(generation, former + 1) end
generation = string.format('%.0f', generation)
redis.call('HSET', KEYS[1], ARGV[1], generation .. (empty or ''))
return generation
`

/**
 * Leaves in a claim only the items of these indexes, as far as they are in it, and notes in the registry which they are. A command that
 * comes late or twice takes nothing away that a later one keeps, and a claim that is gone stays gone.
 */
export const COMPACT = `${PROVE_REGISTRY}
${BEGIN}
local registry, claim, n = KEYS[1], KEYS[2], ARGV[1]
local meta = redis.call('HGET', registry, n)
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
  for i = 2, #ARGV do keep(ARGV[i], ARGV[i]) end
else
  local wanted, at = {}, 0
  for i = 2, #ARGV do wanted[ARGV[i]] = true end
  for index in string.gmatch(indexes, '%d+') do
    if wanted[index] then keep(index, at) end
    at = at + 1
  end
end
if #items == 0 then
  redis.call('DEL', claim)
  redis.call('HDEL', registry, n)
  return 0
end
-- What is refused to this user is refused while the claim is still whole.
prove_registry(registry)
local smaller = claim .. ':smaller'
redis.call('DEL', smaller)
for from = 1, #items, 500 do
  redis.call('RPUSH', smaller, unpack(items, from, math.min(from + 499, #items)))
end
redis.call('RENAME', smaller, claim)
redis.call('HSET', registry, n, head .. '@' .. table.concat(kept, ',') .. list)
return #items
`

/**
 * Not what is there already: a write whose answer was cut was quicker. Nor when a later generation was announced: the process has lost
 * the relay id, or the connection was given up. What it writes first needs no memory.
 */
export const WRITE_BACK = `${NEXT_NUMBER}
local registry, claim, settled, number = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local n, meta, field, generation = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('HEXISTS', registry, n) == 1 then return 0 end
local announced = string.match(redis.call('HGET', registry, field) or '', '^%d+')
if announced and announced ~= generation then return 0 end
redis.call('DEL', claim, settled)
for from = 5, #ARGV, 500 do
  redis.call('RPUSH', claim, unpack(ARGV, from, math.min(from + 499, #ARGV)))
end
redis.call('HSET', registry, n, meta)
if last_number(number) < tonumber(n) then redis.call('SET', number, n) end
return 1
`
