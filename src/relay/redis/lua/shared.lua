-- Prepended to every script by relay-keys.ts, after constants for the keys with a fixed name. A local for each key and argument of the script
-- follows. Scripts work from Redis 2.6 on: no HSET of several fields, no LPOS, no effects replication.

-- A server over its memory limit refuses a command that may need memory only as the first write of a script (scripting.c since 2.6, script.c
-- since 7.0). Taking items relieves such a server, so a script begins with a write that needs no memory.
local function begin()
  redis.call('DEL', NONE_KEY)
end

-- The counter of claims and epochs. A value that no relay wrote (text, a fraction, another type, more digits than a clock has for the next
-- 30,000 years) counts as missing, and is kept for the relay to report. A double cannot count beyond 2^53.
local function last_number()
  local value = redis.pcall('GET', NUMBER_KEY)
  if not value then return 0 end
  -- Any other refusal, such as a missing right, is no damage.
  if type(value) == 'table' and not string.find(value.err, 'wrong kind', 1, true) then redis.call('GET', NUMBER_KEY) end
  if type(value) == 'string' and #value <= 15 and string.match(value, '^%d+$') then return tonumber(value) end
  redis.pcall('SET', DAMAGED_NUMBER_KEY, type(value) == 'string' and string.sub(value, 1, 100) or 'another type')
  return 0
end

-- Always rises, even after the server was emptied or the relay's clock was set back.
local function next_number(least)
  return string.format('%.0f', math.max(last_number() + 1, tonumber(least)))
end

-- A replica cannot keep the number. It is assigned all the same, because the replica still delivers published messages.
local function give_number(least)
  redis.pcall('DEL', NONE_KEY)
  local number = next_number(least)
  redis.pcall('SET', NUMBER_KEY, number)
  return number
end

-- Redis does not roll back a script that is refused a command in the middle. So before its first copy, a script tries the commands that
-- follow it, on the same key, in a form that changes nothing.
local function prove_registry(registry)
  redis.call('HDEL', registry, 'none')
  redis.call('HSET', registry, 'none', '1')
  redis.call('HDEL', registry, 'none')
end

local function push_all(key, items, first)
  for from = first or 1, #items, 500 do
    redis.call('RPUSH', key, unpack(items, from, math.min(from + 499, #items)))
  end
end
