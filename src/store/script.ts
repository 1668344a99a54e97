import { readLua } from './lua.ts'
import { formatArguments } from './steps.ts'

const FILES = ['shared', 'documents', 'missing', 'agents', 'states', 'cdrs', 'operator', 'parked', 'replays', 'main']

/**
 * The one script that writes: it applies a list of steps. One command for a whole batch, and one step, since handlers of other queues run at
 * the same time.
 *
 * A value may decide which other keys are touched (a CDR ends the call of whoever has it), so not every key can be declared. That is allowed
 * wherever the keys are not spread over a cluster; an Upstash database is not
 * (https://upstash.com/docs/redis/overall/rediscompatibility lists EVAL as supported; its databases are single-keyspace).
 * Values are opaque text: nothing in it parses or writes JSON, so no number can lose a digit. Works from Redis 6.
 */
export const APPLY = [formatArguments(), ...FILES.map(readLua)].join('\n')

/** The script that reads what of the wall was written lately. */
export const readWallScript = (): string => readLua('wall')
