-- Writes a claim that the server has lost, with its items (ARGV from `rest` on). Returns 1 when it did. Returns 0 when the claim is there: a
-- write whose answer was cut was quicker. And when a later generation was announced: the process has lost the relay id, or the connection
-- was given up. What it writes first needs no memory.
if redis.call('HEXISTS', registry, number) == 1 then return 0 end
local announced = string.match(redis.call('HGET', registry, field) or '', '^%d+')
if announced and announced ~= generation then return 0 end
redis.call('DEL', claim, settled)
push_all(claim, ARGV, rest)
redis.call('HSET', registry, number, meta)
if last_number() < tonumber(number) then redis.call('SET', NUMBER_KEY, number) end
return 1
