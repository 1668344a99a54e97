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
