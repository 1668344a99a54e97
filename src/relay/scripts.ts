import { defineScript, type CommandParser } from 'redis'

/**
 * What must happen in one step in the dialler's Redis. Works from Redis 2.6: no `HSET` of several fields, no `LPOS`, no effects
 * replication. Keys that carry a number cannot be declared; the dialler's Redis is a single server, not a cluster.
 */

const toReply = <T>(reply: unknown) => reply as T

// The number of a claim or an epoch: goes up for ever, also after the server was emptied and when the clock is set back.
const NEXT_NUMBER = `
local function next_number(key, now)
  local last = tonumber(redis.call('GET', key) or '0') or 0
  return string.format('%.0f', math.max(last + 1, tonumber(now)))
end
`

/**
 * First copy, then trim. The DEL before the copy also matters to a server that is over its memory limit: it refuses a copy only as
 * the first write of a script (scripting.c, since 2.6), and taking is what relieves it.
 */
const TAKE = `${NEXT_NUMBER}
local list, waiting, registry, number, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local count, max_bytes, from_left, now, prefix = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == 'left', ARGV[4], ARGV[5]
local last_empty = ARGV[6]
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
local n = next_number(number, now)
local claim = prefix .. n
redis.call('DEL', claim)
for from = 1, #items, 500 do
  redis.call('RPUSH', claim, unpack(items, from, math.min(from + 499, #items)))
end
if last_empty == '' then last_empty = redis.call('HGET', seen, list) or '' end
local wait = -1
if last_empty ~= '' then wait = math.max(0, tonumber(now) - tonumber(last_empty)) end
redis.call('HSET', registry, n, now .. ':' .. string.format('%.0f', wait) .. ':' .. list)
redis.call('SET', number, n)
if #moved > 0 then redis.call('DEL', waiting) end
if taken > 0 then
  if from_left then redis.call('LTRIM', list, taken, -1) else redis.call('LTRIM', list, 0, -taken - 1) end
end
local left = redis.call('LLEN', list)
if left == 0 then redis.call('HSET', seen, list, now) end
return {tonumber(n), wait, left, items}
`

const BEAT = `${NEXT_NUMBER}
local n = next_number(KEYS[1], ARGV[1])
redis.pcall('SET', KEYS[1], n)
if ARGV[2] ~= '' then redis.call('PUBLISH', ARGV[2], n) end
return tonumber(n)
`

const PARK = `
redis.call('RPUSH', KEYS[1], ARGV[1])
if ARGV[2] ~= '' then redis.call('SADD', KEYS[2], ARGV[2]) end
return 1
`

const REPLACE_LEASE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('PSETEX', KEYS[1], ARGV[3], ARGV[2])
  return 1
end
return 0
`

const RENEW_LEASE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
`

const RELEASE_LEASE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`

/** `[number, longest wait in ms or -1 when unknown, items left on the list, the items in the order in which they are to go]` */
export type TakeReply = [number: number, waitMs: number, left: number, items: Buffer[]]

type Keys = readonly string[]

function script<Args extends readonly (string | number)[], Reply>(source: string, keys: number) {
  return defineScript({
    SCRIPT: source,
    NUMBER_OF_KEYS: keys,
    IS_READ_ONLY: false,
    parseCommand(parser: CommandParser, names: Keys, args: Args) {
      for (const name of names) parser.pushKey(name)
      for (const arg of args) parser.push(String(arg))
    },
    transformReply: toReply<Reply>,
  })
}

export const scripts = {
  /** Moves what waits, and up to `count` items or `maxBytes`, into a claim of its own. */
  take: script<[count: number, maxBytes: number, end: string, nowMs: number, claimPrefix: string, lastEmptyMs: string | number], TakeReply>(TAKE, 5),
  /** The next number; published on a channel in the same step, so that numbers are heard in their order. */
  beat: script<[nowMs: number, channel: string], number>(BEAT, 1),
  /** Appends to the parked list and marks the item of a claim as settled. */
  park: script<[entry: string, index: string | number], number>(PARK, 2),
  replaceLease: script<[former: string, holder: string, leaseMs: number], number>(REPLACE_LEASE, 1),
  renewLease: script<[holder: string, leaseMs: number], number>(RENEW_LEASE, 1),
  releaseLease: script<[holder: string], number>(RELEASE_LEASE, 1),
}
