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
