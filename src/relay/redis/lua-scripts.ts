import { defineScript, type CommandParser } from 'redis'
import { DAMAGED_NUMBER_KEY, NONE_KEY, NUMBER_KEY, PARKED_KEY, RELAYS_KEY, SEEN_EMPTY_KEY, SOURCE_KEY } from './keys.ts'
import { readLua } from './lua.ts'

const KEYS = { DAMAGED_NUMBER_KEY, NONE_KEY, NUMBER_KEY, PARKED_KEY, RELAYS_KEY, SEEN_EMPTY_KEY, SOURCE_KEY }

/** In front of every script: the keys that have one name, and what scripts share. */
const PRELUDE = [...Object.entries(KEYS).map(([name, key]) => `local ${name} = '${key}'`), readLua('shared')].join('\n')

type Value = string | number | Buffer

/** `rest`: more arguments; in Lua, the index of the first one. */
type Call<K extends string, A extends string> = Readonly<Record<K, string> & Record<A, Value>> & {
  readonly rest?: readonly Value[]
}

/** `keys` and `args`: in Lua each is a local of this name, in snake_case; in a call, a field. */
function script<const K extends string, const A extends string, Reply>(
  file: string,
  keys: readonly K[],
  args: readonly A[],
  reply: (reply: unknown) => Reply,
) {
  const toLocals = (names: readonly string[], from: string) =>
    names.map((name, at) => `local ${name.replace(/[A-Z]/g, '_$&').toLowerCase()} = ${from}[${at + 1}]`)
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
