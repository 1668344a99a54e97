import { createTurns, type Logger } from '../../runtime/index.ts'
import {
  isAnswer,
  NoAnswerError,
  ProducerError,
  withinTime,
  words,
  type Connection,
  type ProducerClient,
} from '../connection.ts'
import type { BackupFiles } from './backup-files.ts'
import { parsePosition, type Item, type Position } from './backup-folder.ts'

/*
 * Scripts that push packets and record in the same step that they were pushed. They work from Redis 2.6 on. The record (the note) is a hash:
 * - `fence`: a word that each command must contain. It changes whenever an answer was lost, so that a delayed command has an old fence and does
 * nothing: no packet is written twice, and none after newer ones.
 * - `op`: the last command that ran; `at`: the position in the backup files up to which packets were pushed.
 */

/** Redis deletes the note of a folder that was not used for this long (s): 30 days. */
const EXPIRE = `redis.call('EXPIRE', KEYS[1], 2592000)`

/** KEYS: the note. ARGV: the new fence. Returns the values of the note: `op`, `at`. */
export const SYNC = `
local old = redis.call('HMGET', KEYS[1], 'op', 'at')
redis.call('HSET', KEYS[1], 'fence', ARGV[1])
${EXPIRE}
return {old[1] or '', old[2] or ''}
`

/**
 * KEYS: the note, then all lists. ARGV: fence, op, at ('' for none), then groups of transport, key, count and the packets. Returns `stale` (nothing
 * was done); or `refused` and the keys that are not lists (nothing was done); or `taken`, with the list's length for each group of a list, and the
 * number of receivers for each published packet (-1 where publishing is not allowed).
 *
 * A server that is out of memory, is a replica, or cannot save refuses the first write of the script. Nothing was done then.
 */
export const WRITE = `
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return {'stale'} end
local reply = {'refused'}
for i = 2, #KEYS do
  local kind = redis.call('TYPE', KEYS[i])['ok']
  if kind ~= 'none' and kind ~= 'list' then reply[#reply + 1] = KEYS[i] end
end
if #reply > 1 then return reply end
redis.call('HSET', KEYS[1], 'try', ARGV[2])
reply = {'taken'}
local i = 4
while i <= #ARGV do
  local transport, key, last = ARGV[i], ARGV[i + 1], i + 2 + tonumber(ARGV[i + 2])
  i = i + 3
  if transport == 'list' then
    local length
    for from = i, last, 500 do length = redis.call('LPUSH', key, unpack(ARGV, from, math.min(from + 499, last))) end
    reply[#reply + 1] = length
  else
    for at = i, last do
      local heard = redis.pcall('PUBLISH', key, ARGV[at])
      if type(heard) == 'table' then heard = -1 end
      reply[#reply + 1] = heard
    end
  end
  i = last + 1
end
redis.call('HSET', KEYS[1], 'op', ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'at', ARGV[3]) end
${EXPIRE}
return reply
`

/** The outcome of writing packets. `results` has the answers for the first ones. All packets have an answer unless `refused` or `cause` is set. */
type Written = {
  /** The list's length after the packet, or the receivers; -1 where publishing is not allowed. */
  readonly results: readonly number[]
  /** Keys that accept no packet, such as one that is not a list. Packets for other keys can be written. */
  readonly refused?: ReadonlySet<string>
  /** Why Redis accepts no packets at all. */
  readonly cause?: unknown
}

/** Redis' record of the folder: the last command that ran, and the position up to which packets of the files were pushed. */
type Note = { readonly op: string; readonly at: Position | undefined }

/** Answers of a fault that passes by itself, or that somebody repairs. The writer retries then, and does not write without the note. */
const PASSES =
  /OOM|READONLY|MISCONF|NOREPLICAS|LOADING|BUSY|MASTERDOWN|CLUSTERDOWN|NOAUTH|WRONGPASS|max number of clients/

/**
 * Creates the writer: it writes packets so that none is written twice, even if an answer is lost, one command at a time. Where Redis runs no scripts,
 * it writes without that guarantee.
 */
export function createWriter(connection: Connection, files: BackupFiles, timeoutMs: number, log: Pick<Logger, 'warn'>) {
  const noteKey = `enigma:producer:${files.id}:backup`
  let note: Note = { op: '', at: undefined }
  let fence: string | undefined
  let isPlain = false
  let count = 0
  const name = () => `${files.run}.${++count}`
  const inTurn = createTurns()

  // EVAL instead of EVALSHA: the script is short compared to the packets, and a restarted server would not know its hash.
  const runScript = async (client: ProducerClient, script: string, keys: readonly string[], args: Item['wire'][]) => {
    const command = client.sendCommand?.(['EVAL', script, String(keys.length), ...keys, ...args])
    return (await withinTime(timeoutMs, Promise.resolve(command))) as unknown[]
  }

  const sync = async (client: ProducerClient): Promise<void> => {
    const next = name()
    const [op, at] = await runScript(client, SYNC, [noteKey], [next])
    note = { op: String(op), at: parsePosition(String(at)) }
    fence = next
  }

  const writeNoted = async (client: ProducerClient, items: readonly Item[], op: string, at: string) => {
    const groups = toGroups(items)
    const lists = new Set(items.filter(({ transport }) => transport === 'list').map(({ key }) => key))
    const packets = groups.flatMap(({ transport, key, wires }) => [transport, key, String(wires.length), ...wires])
    for (let attempt = 1; attempt <= 2; attempt++) {
      if (fence === undefined) await sync(client)
      const [kind, ...reply] = await runScript(client, WRITE, [noteKey, ...lists], [String(fence), op, at, ...packets])
      if (String(kind) === 'refused') return { results: [], refused: new Set(reply.map(String)) }
      if (String(kind) === 'taken') {
        const answers = reply.map(Number).values()
        const next = () => answers.next().value ?? 0
        const results = groups.flatMap(({ transport, wires }) =>
          transport === 'list' ? lengthsOf(wires.length, next()) : wires.map(next),
        )
        return { results }
      }
      // The server lost the note: it was emptied, or replaced by another one. Nothing was done.
      fence = undefined
    }
    throw new ProducerError('producer.backup.copied', 'another producer writes with a copy of this backup folder')
  }

  const writePlain = async (client: ProducerClient, items: readonly Item[]): Promise<Written> => {
    const results: number[] = []
    for (const { transport, key, wires } of toGroups(items)) {
      try {
        if (transport === 'list')
          results.push(...lengthsOf(wires.length, await withinTime(timeoutMs, client.lPush(key, wires))))
        else results.push(...(await withinTime(timeoutMs, Promise.all(wires.map((wire) => client.publish(key, wire))))))
      } catch (cause) {
        if (isAnswer(cause) && /^(WRONGTYPE|NOPERM)/.test(cause.message)) return { results, refused: new Set([key]) }
        if (cause instanceof NoAnswerError) connection.renew()
        return { results, cause }
      }
    }
    return { results }
  }

  /** Runs `work`, which needs the note; runs `plain` when Redis does not allow that. Rejects when Redis is unreachable or accepts nothing. */
  const withNote = async <T>(
    work: (client: ProducerClient) => Promise<T>,
    plain: (client: ProducerClient) => Promise<T>,
  ): Promise<T> => {
    try {
      const client = await withinTime(timeoutMs, Promise.resolve(connection.get()))
      if (isPlain || client.sendCommand === undefined) return await plain(client)
      try {
        return await work(client)
      } catch (error) {
        if (!isAnswer(error) || PASSES.test(error.message)) throw error
        isPlain = true
        log.warn(
          { code: 'producer.redis.no_scripts', error: words(error) },
          `Redis does not let the producer record what it has pushed, so packets may arrive twice after an outage: allow EVAL and the key ${noteKey}`,
        )
        return await plain(client)
      }
    } catch (error) {
      // It is unknown whether the command ran: read the note before the next one.
      if (!isAnswer(error)) fence = undefined
      if (error instanceof NoAnswerError) connection.renew()
      throw error
    }
  }

  return {
    /** Resolves with the note, read again after an answer was lost. Rejects when Redis is unreachable. */
    ready: (): Promise<Note> =>
      inTurn(() =>
        withNote(
          async (client) => {
            if (fence === undefined) await sync(client)
            return note
          },
          () => Promise.resolve(note),
        ),
      ),
    /** Writes packets. Never rejects. `at`: the position in the files after these packets, for the note; `op`: the command's name in the note. */
    write: (items: readonly Item[], at = ''): Promise<Written & { readonly op: string }> =>
      inTurn(async () => {
        const op = name()
        const written = await withNote<Written>(
          (client) => writeNoted(client, items, op, at),
          (client) => writePlain(client, items),
        ).catch((cause: unknown) => ({ results: [], cause }))
        return { ...written, op }
      }),
  }
}

export type Writer = ReturnType<typeof createWriter>

/** Consecutive packets with the same transport and key. */
type Group = { readonly transport: Item['transport']; readonly key: string; readonly wires: Item['wire'][] }

function toGroups(items: readonly Item[]): Group[] {
  const groups: Group[] = []
  for (const { transport, key, wire } of items) {
    const last = groups.at(-1)
    if (last?.transport === transport && last.key === key) last.wires.push(wire)
    else groups.push({ transport, key, wires: [wire] })
  }
  return groups
}

/** Returns the length of the list after each of the packets that were pushed together. */
const lengthsOf = (count: number, length: number): number[] =>
  Array.from({ length: count }, (_, at) => length - count + 1 + at)
