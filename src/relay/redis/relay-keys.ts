import { hash } from 'node:crypto'
import { defineScript, type CommandParser } from 'redis'
import { maskText } from '../../protocol/index.ts'
import type { SourceTools } from '../source.ts'
import type { Redis } from './redis-client.ts'
import { readLua } from './lua.ts'

/* The relay's own keys in the dialler's Redis, all under `enigma:relay:`; the scripts that change them; and the counter that they share. */

export const RELAY_PREFIX = 'enigma:relay:'

/** String: the name of this server, `<id>` or `<id>/<database>`. Always in database 0. */
export const SOURCE_KEY = `${RELAY_PREFIX}source`

/** String: the last number given to a claim, an epoch or a notice. */
export const NUMBER_KEY = `${RELAY_PREFIX}number`

/** String: the value of the counter when it was not a number, until a relay has reported it. */
export const DAMAGED_NUMBER_KEY = `${NUMBER_KEY}:damaged`

/**
 * Hash: list key → a time (ms, the relay's clock) before which no item of the list arrived, usually when the list was last empty; and
 * `mark:<list key>` → `<ms>:<items>`: once this many more items are taken, all others arrived after that time.
 */
export const SEEN_EMPTY_KEY = `${RELAY_PREFIX}empty`

/** List: parked notifications, oldest first. */
export const PARKED_KEY = `${RELAY_PREFIX}parked`

/** Hash: relay id → `<host>:<file>`, the relay's file of parked notifications that do not fit on the list. */
export const PARKED_FILES_KEY = `${PARKED_KEY}:files`

/**
 * Hash: a claim's number → `<taken ms>:<longest wait ms>:<list key>`, with `@<index>,<index>…` before the list when the claim holds only those of its
 * items; `attempts:<number>` → `<index>=<attempt>,…` for items that are past the first attempt; and `waiting:<list key>` → `<generation>:<ms>`: the
 * generation of takes, and when the relay last found the list empty.
 */
export const claimsKey = (relayId: string) => `${RELAY_PREFIX}claims:${relayId}`

/** In the hash of `claimsKey`: a list from which a blocking move may have taken items. The list key is appended. */
export const WAITING_FIELD = 'waiting:'
export const waitingField = (list: string) => WAITING_FIELD + list

/** In the hash of `claimsKey`: the attempts of a claim's items. The scripts write this field too. */
export const attemptsField = (number: number) => `attempts:${number}`

/** List: the items of a claim, in the order in which they are sent. Its number is appended. */
export const claimPrefix = (relayId: string) => `${RELAY_PREFIX}claim:${relayId}:`

/** Set: the indexes of a claim's items that are parked, and must not be sent. */
export const settledKey = (relayId: string, number: number) => `${claimPrefix(relayId)}${number}:settled`

/** List: items that a blocking move took and that are in no claim yet. The list key is appended. */
export const waitingPrefix = (relayId: string) => `${RELAY_PREFIX}waiting:${relayId}:`
export const waitingKey = (relayId: string, list: string) => waitingPrefix(relayId) + list

/** String: the process that holds a relay id. */
export const leaseKey = (relayId: string) => `${RELAY_PREFIX}lease:${relayId}`

/** Sorted set: relay id → when (ms) its lease was last renewed, negative when it was released. Relays find the leftovers of other relays by it. */
export const RELAYS_KEY = `${RELAY_PREFIX}relays`

/** A key that never exists. Deleting it is a write that needs no memory. */
export const NONE_KEY = `${RELAY_PREFIX}none`

/** The heartbeat's channel. Relays with the same patterns share it, and so assign the same ids. */
export const heartbeatChannel = (patternHash: string) => `${RELAY_PREFIX}heartbeat:${patternHash}`

const KEYS = { DAMAGED_NUMBER_KEY, NONE_KEY, NUMBER_KEY, PARKED_KEY, RELAYS_KEY, SEEN_EMPTY_KEY, SOURCE_KEY }

/** Prepended to every script: the keys with a fixed name, and the functions that scripts share. */
const PRELUDE = [...Object.entries(KEYS).map(([name, key]) => `local ${name} = '${key}'`), readLua('shared')].join('\n')

/** The other files in `lua/`. Each script in them follows a line `-- name: <name>`. */
const FILES = ['claims', 'leases', 'numbers', 'parking', 'server']

/** Splits files into scripts by name. @throws TypeError for a name that is there twice */
export function parseScripts(texts: readonly string[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (const part of texts.flatMap((text) => text.split(/^-- name: /m).slice(1))) {
    const [name = ''] = part.split('\n', 1)
    if (found.has(name)) throw new TypeError(`two Lua scripts have the name ${name}`)
    found.set(name, part.slice(name.length + 1))
  }
  return found
}

const texts = parseScripts(FILES.map(readLua))

type Value = string | number | Buffer

/** `rest`: further arguments. In Lua, `rest` is the index of the first one. */
type Call<K extends string, A extends string> = Readonly<Record<K, string> & Record<A, Value>> & {
  readonly rest?: readonly Value[]
}

/**
 * Defines a script. In Lua, each of `keys` and `args` is a local of this name in snake_case; in a call, each is a field. @throws TypeError when no
 * script has the name
 */
function script<const K extends string, const A extends string, Reply>(
  name: string,
  keys: readonly K[],
  args: readonly A[],
  reply: (reply: unknown) => Reply,
) {
  const text = texts.get(name)
  if (text === undefined) throw new TypeError(`no Lua script has the name ${name}`)
  const toLocals = (names: readonly string[], from: string) =>
    names.map((local, at) => `local ${local.replace(/[A-Z]/g, '_$&').toLowerCase()} = ${from}[${at + 1}]`)
  const locals = [...toLocals(keys, 'KEYS'), ...toLocals(args, 'ARGV'), `local rest = ${args.length + 1}`]
  return defineScript({
    SCRIPT: [PRELUDE, ...locals, text].join('\n'),
    NUMBER_OF_KEYS: keys.length,
    IS_READ_ONLY: false,
    parseCommand(parser: CommandParser, call: Call<K, A>) {
      for (const key of keys) parser.pushKey(call[key])
      for (const value of [...args.map((arg) => call[arg]), ...(call.rest ?? [])])
        parser.push(typeof value === 'number' ? String(value) : value)
    },
    transformReply: reply,
  })
}

const as = <T>(reply: unknown): T => reply as T

export type TakeReply = [number: number, waitMs: number, left: number, items: Buffer[]]

/** The reply of `adopt` when it moved nothing because the relay that would get the claims does not hold its own lease. */
export const UNLEASED = -2

/**
 * The operations that must happen in one step in the dialler's Redis: a method of the client for each script in `lua/`, where a comment describes
 * the script and its reply. Keys that contain a number cannot be declared. That is allowed, because the dialler's Redis is a single server and not a cluster.
 */
export const scripts = {
  take: script(
    'take',
    ['list', 'waiting', 'registry'],
    ['count', 'maxBytes', 'listEnd', 'nowMs', 'claimPrefix', 'leastNumber', 'generation'],
    as<TakeReply>,
  ),
  beginGeneration: script('begin-generation', ['registry', 'lease'], ['field', 'least', 'holder'], as<string>),
  compact: script('compact', ['registry', 'claim'], ['number'], as<number>),
  writeBack: script(
    'write-back',
    ['registry', 'claim', 'settled'],
    ['number', 'meta', 'field', 'generation'],
    as<number>,
  ),
  adopt: script(
    'adopt',
    ['otherLease', 'otherRegistry', 'ownLease', 'ownRegistry'],
    ['otherPrefix', 'ownPrefix', 'waitingPrefix', 'nowMs', 'leastNumber', 'relayId', 'forgetMs', 'holder'],
    as<number>,
  ),
  holdLease: script('hold-lease', ['lease'], ['holder', 'former', 'leaseMs', 'relayId', 'nowMs'], as<string>),
  releaseLease: script('release-lease', ['lease'], ['holder', 'relayId', 'nowMs'], as<number>),
  nextNumber: script('next-number', [], ['leastNumber'], as<number>),
  publishHeartbeat: script('publish-heartbeat', [], ['leastNumber', 'channel'], as<number>),
  park: script('park', ['settled', 'registry'], ['entry', 'index', 'claim', 'most'], as<number>),
  noteAttempts: script('note-attempts', ['registry'], ['claim', 'attempts'], as<number>),
  noteSettled: script('note-settled', ['settled', 'registry'], ['claim', 'index'], as<number>),
  readParked: script('read-parked', [], ['from', 'most', 'maxBytes'], as<Buffer[]>),
  identify: script('identify', [], ['name', 'database', 'mayWrite'], as<[name: string, why: string]>),
  tryWrite: script('try-write', ['ownKey'], ['command'], as<number>),
}

/**
 * The highest valid number. No clock exceeds it (ms) in the next 30,000 years, and a double counts well beyond it: a larger number does not come from
 * a relay.
 */
const MAX_NUMBER = 1e15

export const isRelayNumber = (number: number): boolean => Number.isInteger(number) && number >= 0 && number < MAX_NUMBER

type NumbersOptions = {
  readonly client: Redis
  readonly now: () => number
  readonly last?: number | undefined
  /** Called with each number that is higher than all before it. */
  readonly onHighest?: (number: number) => void
}

/**
 * Creates the source of numbers for claims, epochs and notices. A script in Redis assigns them, because Redis knows the last one. `lowerBound` is for
 * a Redis that came back empty while the clock was set back: no number that this process has seen is assigned again. `lowerBound` never returns the
 * same number twice: a read-only replica keeps no number, and would otherwise assign the same one twice within a millisecond.
 */
export function createNumbers({ client, now, last = 0, onHighest }: NumbersOptions) {
  let highest = isRelayNumber(last) ? last : 0
  let asked = 0
  const lowerBound = (): number => (asked = Math.max(now(), highest + 1, asked + 1))
  const noteUsed = (number: number): void => {
    if (number <= highest || !isRelayNumber(number)) return
    highest = number
    onHighest?.(number)
  }
  return {
    lowerBound,
    noteUsed,
    /** Returns a number that nothing else of the source has. @throws what Redis answers */
    next: async (): Promise<number> => {
      const number = await client.nextNumber({ leastNumber: lowerBound() })
      noteUsed(number)
      return number
    },
  }
}

export type Numbers = ReturnType<typeof createNumbers>

/**
 * Returns the first index of notifications that a relay numbers itself. It separates them from those of other relays, which may have the same number
 * where Redis keeps none. The same name (a relay id and its journal) always has the same index.
 */
export const ownIndex = (name: string): number => 1 + (hash('sha256', name, 'buffer').readUInt32BE() % 1_000_000_000)

/**
 * Returns the first index of notices that a relay numbers without Redis. Those numbers are the relay's own, and Redis may assign the same ones to it
 * at the same time.
 */
export const offlineIndex = (own: number): number => own + 1_000_000_000

/** Reports once that the counter in Redis was not a number and was repaired. @throws what Redis answers */
export async function reportDamage({ client, sourceId, log, metrics }: Omit<SourceTools, 'now'>): Promise<void> {
  const value = await client.get(DAMAGED_NUMBER_KEY)
  // Several relays may see it. The one whose deletion counts reports it.
  if (value === null || (await client.del(DAMAGED_NUMBER_KEY)) === 0) return
  metrics.numberRepairs.inc({ source: sourceId })
  log.error(
    { code: 'relay.number.repaired', source: sourceId, key: NUMBER_KEY, value: maskText(value) },
    'The counter of claims and epochs in Redis was not a number that a relay wrote; the relay continues from the clock, and no id repeats',
  )
}
