import { defineScript, type CommandParser } from 'redis'
import { NONE_KEY } from './keys.ts'
import { ADOPT, RELEASE_LEASE, RENEW_LEASE, TAKE_LEASE } from './lease-lua.ts'
import { BEGIN, NEXT_NUMBER, PROVE_REGISTRY } from './lua-parts.ts'

/**
 * What must happen in one step in the dialler's Redis. Works from Redis 2.6: no `HSET` of several fields, no `LPOS`, no effects
 * replication. Keys that carry a number cannot be declared; the dialler's Redis is a single server, not a cluster.
 */

const toReply = <T>(reply: unknown) => reply as T

/** First copy, then trim. */
const TAKE = `${NEXT_NUMBER}${PROVE_REGISTRY}
local list, waiting, registry, number, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local count, max_bytes, from_left, now, prefix = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == 'left', ARGV[4], ARGV[5]
local last_empty, least = ARGV[6], ARGV[7]
local items, bytes, taken = {}, 0, 0
local moved = redis.call('LRANGE', waiting, 0, -1)
for i = #moved, 1, -1 do
  items[#items + 1] = moved[i]
  bytes = bytes + #moved[i]
end
local slice = 1
while taken < count and bytes < max_bytes do
  slice = math.min(slice, count - taken)
  local part
  if from_left then part = redis.call('LRANGE', list, taken, taken + slice - 1)
  else part = redis.call('LRANGE', list, -taken - slice, -taken - 1) end
  for i = 1, #part do
    local item = from_left and part[i] or part[#part - i + 1]
    items[#items + 1] = item
    bytes = bytes + #item
  end
  taken = taken + #part
  if #part < slice then break end
  slice = slice * 2
end
if #items == 0 then
  return {0, 0, 0, items}
end
${BEGIN}
-- Whatever is refused to this user is refused here, before anything is copied.
redis.call('LTRIM', list, 0, -1)
redis.call('LTRIM', waiting, 0, -1)
prove_registry(registry)
local n = next_number(number, least)
redis.call('SET', number, n)
local claim = prefix .. n
redis.call('DEL', claim)
for from = 1, #items, 500 do
  redis.call('RPUSH', claim, unpack(items, from, math.min(from + 499, #items)))
end
if last_empty == '' then last_empty = redis.call('HGET', seen, list) or '' end
local wait = -1
-- Seen empty in the future: the clock was set back, and nobody knows how long an item has waited.
if last_empty ~= '' and tonumber(last_empty) <= tonumber(now) then wait = tonumber(now) - tonumber(last_empty) end
redis.call('HSET', registry, n, now .. ':' .. string.format('%.0f', wait) .. ':' .. list)
if #moved > 0 then redis.call('DEL', waiting) end
if taken > 0 then
  if from_left then redis.call('LTRIM', list, taken, -1) else redis.call('LTRIM', list, 0, -taken - 1) end
end
local left = redis.call('LLEN', list)
if left == 0 then redis.pcall('HSET', seen, list, now) end
return {tonumber(n), wait, left, items}
`

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
redis.call('RPUSH', KEYS[1], ARGV[1])
if ARGV[2] ~= '' and redis.call('HEXISTS', KEYS[3], ARGV[3]) == 1 then redis.call('SADD', KEYS[2], ARGV[2]) end
return 1
`

const NOTE_SETTLED = `${BEGIN}
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then return 0 end
for i = 2, #ARGV do redis.call('SADD', KEYS[1], ARGV[i]) end
return #ARGV - 1
`

// Not what is there already: a write whose answer was cut was quicker. What it writes first needs no memory.
const WRITE_BACK = `
local registry, claim, settled, number = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local n, meta, indexes = ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('HEXISTS', registry, n) == 1 then return 0 end
redis.call('DEL', claim, settled)
for i = 4, 3 + indexes do redis.call('SADD', settled, ARGV[i]) end
for from = 4 + indexes, #ARGV, 500 do
  redis.call('RPUSH', claim, unpack(ARGV, from, math.min(from + 499, #ARGV)))
end
redis.call('HSET', registry, n, meta)
if (tonumber(redis.call('GET', number) or '0') or 0) < tonumber(n) then redis.call('SET', number, n) end
return 1
`

const ANNOUNCE_WAITING = `${BEGIN}
return redis.call('HSET', KEYS[1], ARGV[1], '1')
`

/** `[number, longest wait in ms or -1 when unknown, items left on the list, the items in the order in which they are to go]` */
export type TakeReply = [number: number, waitMs: number, left: number, items: Buffer[]]

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
  /** Moves what waits, and up to `count` items or `maxBytes`, into a claim of its own. */
  take: script<
    [
      count: number,
      maxBytes: number,
      end: string,
      nowMs: number,
      claimPrefix: string,
      lastEmptyMs: string | number,
      leastNumber: number,
    ],
    TakeReply
  >(TAKE, 5),
  /** The next number; published on a channel in the same step, so that numbers are heard in their order. */
  beat: script<[leastNumber: number, channel: string], number>(BEAT, 1),
  /** Appends to the parked list, and marks the item of a claim as settled if the claim is still there. 0 when the list is full. */
  park: script<[entry: string, index: string | number, claim: string | number, most: number], number>(PARK, 3),
  /** Notes which items of a claim were sent, if the claim is still there. */
  noteSettled: script<[claim: number, ...indexes: number[]], number>(NOTE_SETTLED, 2),
  /** Writes a claim of which the server knows nothing. 1 when it did, 0 when the claim is there. */
  writeBack: script<
    [claim: number, meta: string, settled: number, ...settledAndItems: (number | string | Buffer)[]],
    number
  >(WRITE_BACK, 4),
  announceWaiting: script<[field: string], number>(ANNOUNCE_WAITING, 1),
  /** '' when it is ours now, else who holds it. `former`: a holder that is known to be dead, or ''. */
  takeLease: script<[holder: string, former: string, leaseMs: number, relayId: string, nowMs: number], string>(
    TAKE_LEASE,
    2,
  ),
  renewLease: script<[holder: string, leaseMs: number, relayId: string, nowMs: number], number>(RENEW_LEASE, 2),
  releaseLease: script<[holder: string], number>(RELEASE_LEASE, 1),
  /** How many claims were moved; -1 when the relay lives. One that was not seen since `forgetMs` is forgotten. */
  adoptFrom: script<
    [
      claimPrefix: string,
      ownClaimPrefix: string,
      waitingPrefix: string,
      nowMs: number,
      leastNumber: number,
      relayId: string,
      forgetMs: number,
    ],
    number
  >(ADOPT, 5),
}
