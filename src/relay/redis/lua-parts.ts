import { DAMAGED_NUMBER_KEY, NONE_KEY } from './keys.ts'

/**
 * A server over its memory limit refuses what may need memory only as the first write of a script (scripting.c since 2.6, script.c
 * since 7.0). Taking is what relieves such a server, so each script begins with a write that needs none.
 */
export const BEGIN = `
redis.call('DEL', '${NONE_KEY}')
`

/**
 * The number of a claim or an epoch: goes up for ever, also after the server was emptied and when the clock is set back. A counter that
 * no relay wrote (text, a fraction, another type, more digits than a clock has for the next 30,000 years) counts as not there: the clock of
 * the relay and what it has seen give the next number. What it was is kept for the relay to report. A double cannot count beyond 2^53.
 */
export const NEXT_NUMBER = `
local function last_number(key)
  local value = redis.pcall('GET', key)
  if not value then return 0 end
  -- What else is refused, such as the right, is no damage.
  if type(value) == 'table' and not string.find(value.err, 'wrong kind', 1, true) then redis.call('GET', key) end
  if type(value) == 'string' and #value <= 15 and string.match(value, '^%d+$') then return tonumber(value) end
  redis.pcall('SET', '${DAMAGED_NUMBER_KEY}', type(value) == 'string' and string.sub(value, 1, 100) or 'another type')
  return 0
end
local function next_number(key, least)
  return string.format('%.0f', math.max(last_number(key) + 1, tonumber(least)))
end
`

/**
 * Redis does not roll back a script that is refused a command in the middle. So what comes behind the first copy is tried before it, in a
 * form that changes nothing, on the keys that it will be given.
 */
export const PROVE_REGISTRY = `
local function prove_registry(key)
  redis.call('HDEL', key, 'none')
  redis.call('HSET', key, 'none', '1')
  redis.call('HDEL', key, 'none')
end
`
