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
