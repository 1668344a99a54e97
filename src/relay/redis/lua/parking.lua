-- name: park
-- Appends an entry to the parked list, and marks its item as settled if its claim still exists. Returns 0 when the list is full, else 1.
if redis.call('LLEN', PARKED_KEY) >= tonumber(most) then return 0 end
begin()
local is_claimed = index ~= '' and redis.call('HEXISTS', registry, claim) == 1
-- Redis does not roll back: an entry whose item cannot be marked as settled would be appended again at each attempt.
redis.call('LTRIM', PARKED_KEY, 0, -1)
redis.call('RPUSH', PARKED_KEY, entry)
local marked = is_claimed and redis.pcall('SADD', settled, index)
if type(marked) == 'table' and marked.err then
  redis.call('LTRIM', PARKED_KEY, 0, -2)
  return redis.error_reply(marked.err)
end
return 1

-- name: read-parked
-- Returns entries of the parked list from an index on. The server knows the size of its elements, so it limits the page before sending it.
local items, bytes = {}, 0
from, most, max_bytes = tonumber(from), tonumber(most), tonumber(max_bytes)
while #items < most do
  local at, slice = from + #items, math.min(16, most - #items)
  local part = redis.call('LRANGE', PARKED_KEY, at, at + slice - 1)
  for i = 1, #part do
    if #items > 0 and bytes + #part[i] > max_bytes then return items end
    items[#items + 1] = part[i]
    bytes = bytes + #part[i]
  end
  if #part < slice then break end
end
return items
