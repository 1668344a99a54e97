import { hash } from 'node:crypto'
import { isNumber } from '../redis/numbers.ts'

/**
 * A heartbeat as the script in Redis publishes it: `<number> <seal>`. Anybody may publish on its channel, and a number that no relay made
 * would begin an epoch of its own or, beyond the safe integers, make every later number the same. The seal is no secret: it keeps out
 * what was published by accident.
 */
export function parseHeartbeat(message: string): number | undefined {
  const match = /^([1-9]\d{0,15}) ([0-9a-f]{16})$/.exec(message)
  if (match === null) return undefined
  const number = Number(match[1])
  return isNumber(number) && match[2] === sealOf(number) ? number : undefined
}

/** The script makes the same: `string.sub(redis.sha1hex('enigma-relay ' .. n), 1, 16)`. */
const sealOf = (number: number): string => hash('sha1', `enigma-relay ${number}`).slice(0, 16)

/**
 * Returns a part of the heartbeat channel's name: the same for relays that hear the same, in whatever order their patterns are named. The
 * version keeps heartbeats of another form on a channel of their own.
 */
export function hashPatterns(patterns: readonly string[]): string {
  const named = [HEARTBEAT_VERSION, ...[...new Set(patterns)].toSorted()]
  return hash('sha256', JSON.stringify(named)).slice(0, 16)
}

const HEARTBEAT_VERSION = 'heartbeat 2'
