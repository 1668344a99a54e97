import { NONE_KEY } from './keys.ts'

/**
 * A server over its memory limit refuses what may need memory only as the first write of a script (scripting.c since 2.6, script.c
 * since 7.0). Taking is what relieves such a server, so each script begins with a write that needs none.
 */
export const BEGIN = `
redis.call('DEL', '${NONE_KEY}')
`

/** The number of a claim or an epoch: goes up for ever, also after the server was emptied and when the clock is set back. */
export const NEXT_NUMBER = `
local function next_number(key, least)
  local last = tonumber(redis.call('GET', key) or '0') or 0
  return string.format('%.0f', math.max(last + 1, tonumber(least)))
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
