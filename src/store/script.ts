import { AGENTS } from './script/agents.ts'
import { CDRS } from './script/cdrs.ts'
import { OPERATOR } from './script/operator.ts'
import { SHARED } from './script/shared.ts'
import { STATES } from './script/states.ts'

/**
 * The one script that writes: it applies a list of steps, each `name, number of arguments, arguments…`. One command for a whole
 * batch, since Upstash bills by the command, and one step, since handlers of other queues run at the same time.
 *
 * Keys are computed from the arguments: a value decides which other keys are touched (a CDR clears the call of whoever has it).
 * That is allowed wherever the keys are not spread over a cluster; an Upstash database is not
 * (https://upstash.com/docs/redis/overall/rediscompatibility lists EVAL as supported; its databases are single-keyspace).
 * Values are opaque text: nothing here parses or writes JSON, so no number can lose a digit. Works from Redis 6.
 */
export const APPLY = `${SHARED}${AGENTS}${STATES}${CDRS}${OPERATOR}
function apply.done(message, ...)
  local k = key('done:' .. message)
  local ids = { ... }
  for i = 1, #ids do redis.call('SADD', k, ids[i]) end
  expire(k, ttl.done)
end

local at, applied = 6, 0
while at <= #ARGV do
  local count = tonumber(ARGV[at + 1])
  local args = {}
  for i = 1, count do args[i] = ARGV[at + 1 + i] end
  apply[ARGV[at]](unpack(args))
  at, applied = at + 2 + count, applied + 1
end
-- Nothing else answers so: a proxy that says OK to everything does not pass for the database.
return 'applied ' .. applied
`
