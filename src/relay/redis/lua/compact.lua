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
