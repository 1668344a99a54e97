import { defineScript, type CommandParser } from 'redis'
import { DAMAGED_NUMBER_KEY, NONE_KEY, NUMBER_KEY, PARKED_KEY, RELAYS_KEY, SEEN_EMPTY_KEY, SOURCE_KEY } from './keys.ts'
import { readLua } from './lua.ts'

const KEYS = { DAMAGED_NUMBER_KEY, NONE_KEY, NUMBER_KEY, PARKED_KEY, RELAYS_KEY, SEEN_EMPTY_KEY, SOURCE_KEY }

/** In front of every script: the keys that have one name, and what scripts share. */
const PRELUDE = [...Object.entries(KEYS).map(([name, key]) => `local ${name} = '${key}'`), readLua('shared')].join('\n')

type Value = string | number | Buffer

type Description<K extends string, A extends string, Reply> = {
  /** In Lua each is a local of this name, in snake_case; in a call, a field. */
  readonly keys: readonly K[]
  readonly args: readonly A[]
  readonly reply: (reply: unknown) => Reply
}

/** `rest`: more arguments; in Lua, the index of the first one. */
type Call<K extends string, A extends string> = Readonly<Record<K, string> & Record<A, Value>> & {
  readonly rest?: readonly Value[]
}

function script<const K extends string, const A extends string, Reply>(
  file: string,
  { keys, args, reply }: Description<K, A, Reply>,
) {
  const toLocals = (names: readonly string[], from: string) =>
    names.map(
      (name, at) => `local ${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toLowerCase()} = ${from}[${at + 1}]`,
    )
  const locals = [...toLocals(keys, 'KEYS'), ...toLocals(args, 'ARGV'), `local rest = ${args.length + 1}`]
  return defineScript({
    SCRIPT: [PRELUDE, ...locals, readLua(file)].join('\n'),
    NUMBER_OF_KEYS: keys.length,
    IS_READ_ONLY: false,
    parseCommand(parser: CommandParser, call: Call<K, A>) {
      for (const name of keys) parser.pushKey(call[name])
      for (const value of [...args.map((name) => call[name]), ...(call.rest ?? [])])
        parser.push(typeof value === 'number' ? String(value) : value)
    },
    transformReply: reply,
  })
}

const as = <T>(reply: unknown): T => reply as T

export type TakeReply = [number: number, waitMs: number, left: number, items: Buffer[]]

/** `adopt` moved nothing: the relay that would get the claims does not hold its own lease. */
export const UNLEASED = -2

/**
 * What must happen in one step in the dialler's Redis: a method of the client for each file in `lua/`, which says what it does and returns.
 * Keys that carry a number cannot be declared; the dialler's Redis is a single server, not a cluster.
 */
export const scripts = {
  take: script('take', {
    keys: ['list', 'waiting', 'registry'],
    args: ['count', 'maxBytes', 'listEnd', 'nowMs', 'claimPrefix', 'leastNumber', 'generation'],
    reply: as<TakeReply>,
  }),
  beginGeneration: script('begin-generation', {
    keys: ['registry', 'lease'],
    args: ['field', 'least', 'holder'],
    reply: as<string>,
  }),
  compact: script('compact', { keys: ['registry', 'claim'], args: ['number'], reply: as<number> }),
  writeBack: script('write-back', {
    keys: ['registry', 'claim', 'settled'],
    args: ['number', 'meta', 'field', 'generation'],
    reply: as<number>,
  }),
  adopt: script('adopt', {
    keys: ['otherLease', 'otherRegistry', 'ownLease', 'ownRegistry'],
    args: ['otherPrefix', 'ownPrefix', 'waitingPrefix', 'nowMs', 'leastNumber', 'relayId', 'forgetMs', 'holder'],
    reply: as<number>,
  }),
  holdLease: script('hold-lease', {
    keys: ['lease'],
    args: ['holder', 'former', 'leaseMs', 'relayId', 'nowMs'],
    reply: as<string>,
  }),
  releaseLease: script('release-lease', {
    keys: ['lease'],
    args: ['holder', 'relayId', 'nowMs'],
    reply: as<number>,
  }),
  nextNumber: script('next-number', { keys: [], args: ['leastNumber'], reply: as<number> }),
  publishHeartbeat: script('publish-heartbeat', { keys: [], args: ['leastNumber', 'channel'], reply: as<number> }),
  park: script('park', {
    keys: ['settled', 'registry'],
    args: ['entry', 'index', 'claim', 'most'],
    reply: as<number>,
  }),
  noteSettled: script('note-settled', { keys: ['settled', 'registry'], args: ['claim', 'index'], reply: as<number> }),
  readParked: script('read-parked', { keys: [], args: ['from', 'most', 'maxBytes'], reply: as<Buffer[]> }),
  identify: script('identify', {
    keys: [],
    args: ['name', 'database', 'mayWrite'],
    reply: as<[name: string, why: string]>,
  }),
  tryWrite: script('try-write', { keys: ['ownKey'], args: ['command'], reply: as<number> }),
}
