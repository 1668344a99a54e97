import { defineScript, type CommandParser } from 'redis'
import { ANNOUNCE_WAITING, COMPACT, TAKE, WRITE_BACK } from './claims-lua.ts'
import { NONE_KEY } from './keys.ts'
import { ADOPT, RELEASE_LEASE, RENEW_LEASE, TAKE_LEASE } from './lease-lua.ts'
import { BEGIN, NEXT_NUMBER } from './lua-parts.ts'

/**
 * What must happen in one step in the dialler's Redis. Works from Redis 2.6: no `HSET` of several fields, no `LPOS`, no effects
 * replication. Keys that carry a number cannot be declared; the dialler's Redis is a single server, not a cluster.
 */

const toReply = <T>(reply: unknown) => reply as T

// On a replica nothing can be written, but what is published is heard all the same. Behind the number is its seal: see heartbeat.ts.
const BEAT = `${NEXT_NUMBER}
redis.pcall('DEL', '${NONE_KEY}')
local n = next_number(KEYS[1], ARGV[1])
redis.pcall('SET', KEYS[1], n)
if ARGV[2] ~= '' then
  redis.call('PUBLISH', ARGV[2], n .. ' ' .. string.sub(redis.sha1hex('enigma-relay ' .. n), 1, 16))
end
return tonumber(n)
`

const PARK = `
if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[4]) then return 0 end
${BEGIN}
local is_claimed = ARGV[2] ~= '' and redis.call('HEXISTS', KEYS[3], ARGV[3]) == 1
-- Redis does not roll back: an entry that cannot be marked as settled would be appended again at each attempt.
redis.call('LTRIM', KEYS[1], 0, -1)
redis.call('RPUSH', KEYS[1], ARGV[1])
local marked = is_claimed and redis.pcall('SADD', KEYS[2], ARGV[2])
if type(marked) == 'table' and marked.err then
  redis.call('LTRIM', KEYS[1], 0, -2)
  return redis.error_reply(marked.err)
end
return 1
`

const NOTE_SETTLED = `${BEGIN}
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then return 0 end
for i = 2, #ARGV do redis.call('SADD', KEYS[1], ARGV[i]) end
return #ARGV - 1
`

/**
 * `[number, longest wait in ms or -1 when unknown, items left on the list, the items in the order in which they are to go]`. The number is
 * 0 when there was nothing, -1 when the generation is not the last one.
 */
export type TakeReply = [number: number, waitMs: number, left: number, items: Buffer[]]

/** Nothing was moved, since the relay that would get it does not hold its own lease. */
export const UNLEASED = -2

type Keys = readonly string[]

function script<Args extends readonly (string | number | Buffer)[], Reply>(source: string, keys: number) {
  return defineScript({
    SCRIPT: source,
    NUMBER_OF_KEYS: keys,
    IS_READ_ONLY: false,
    parseCommand(parser: CommandParser, names: Keys, args: Args) {
      for (const name of names) parser.pushKey(name)
      for (const arg of args) parser.push(typeof arg === 'number' ? String(arg) : arg)
    },
    transformReply: toReply<Reply>,
  })
}

export const scripts = {
  /** Moves what a blocking move took, and more from the list, into a claim of its own: up to `count` items, `maxBytes` and one item. */
  take: script<
    [
      count: number,
      maxBytes: number,
      end: string,
      nowMs: number,
      claimPrefix: string,
      leastNumber: number,
      generation: string,
    ],
    TakeReply
  >(TAKE, 5),
  /** The next number; published on a channel in the same step, so that numbers are heard in their order. */
  beat: script<[leastNumber: number, channel: string], number>(BEAT, 1),
  /** Appends to the parked list, and marks the item of a claim as settled if the claim is still there. 0 when the list is full. */
  park: script<[entry: string, index: string | number, claim: string | number, most: number], number>(PARK, 3),
  /** Notes which items of a claim need not be sent, if the claim is still there. */
  noteSettled: script<[claim: number, ...indexes: number[]], number>(NOTE_SETTLED, 2),
  /** Leaves in a claim only these items. How many Redis has of them. */
  compact: script<[claim: number, ...indexes: number[]], number>(COMPACT, 2),
  /** Writes a claim of which the server knows nothing. 1 when it did, 0 when the claim is there or the generation is not the last one. */
  writeBack: script<[claim: number, meta: string, field: string, generation: string, ...items: Buffer[]], number>(
    WRITE_BACK,
    4,
  ),
  /** The new generation, or '' when another process holds the relay id. */
  announceWaiting: script<[field: string, nowMs: number, holder: string], string>(ANNOUNCE_WAITING, 2),
  /** '' when it is ours now, else who holds it. `former`: a holder that is known to be dead, or ''. */
  takeLease: script<[holder: string, former: string, leaseMs: number, relayId: string, nowMs: number], string>(
    TAKE_LEASE,
    2,
  ),
  renewLease: script<[holder: string, leaseMs: number, relayId: string, nowMs: number], number>(RENEW_LEASE, 2),
  releaseLease: script<[holder: string, relayId: string, nowMs: number], number>(RELEASE_LEASE, 2),
  /** How many claims were moved; -1 when the relay lives, `UNLEASED` when `holder` has lost the own lease. One that was not seen since `forgetMs` is forgotten. */
  adoptFrom: script<
    [
      claimPrefix: string,
      ownClaimPrefix: string,
      waitingPrefix: string,
      nowMs: number,
      leastNumber: number,
      relayId: string,
      forgetMs: number,
      holder: string,
    ],
    number
  >(ADOPT, 6),
}
