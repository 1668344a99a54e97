import { ErrorReply } from 'redis'
import { backoffMs, sleep, type Logger } from '../../runtime/index.ts'
import type { SourceConfig } from '../config.ts'
import { describe, RelayError } from '../errors.ts'
import { asBytes, createRedis, judgeConnection, type Redis } from '../redis/client.ts'
import { NONE_KEY, PARKED_KEY } from '../redis/keys.ts'
import { readEntry, UNREADABLE, type Entry } from './parked-entry.ts'

/** Which entries are meant; what is absent does not matter. */
export type Filter = {
  readonly ids?: ReadonlySet<string> | undefined
  /** `too_large`, `refused`, or `unreadable` for what is no entry of a relay's. */
  readonly reason?: string | undefined
  /** Put aside at this time (ms) or later. When an unreadable one came is not known: it is not meant. */
  readonly sinceMs?: number | undefined
}

export function matches(entry: Entry, { ids, reason, sinceMs }: Filter): boolean {
  if (ids !== undefined && !ids.has(entry.id)) return false
  if (reason !== undefined && reason !== (entry.kind === 'parked' ? entry.reason : UNREADABLE)) return false
  return sinceMs === undefined || (entry.kind === 'parked' && Date.parse(entry.parkedat) >= sinceMs)
}

/** A page holds at most so many entries and bytes, unless one entry alone is larger. */
const PAGE_ENTRIES = 200
const PAGE_BYTES = 4 * 1024 * 1024

/** Some of the list: those that are meant, and how many were looked at so far, of how many. */
export type Page = { readonly entries: readonly Entry[]; readonly seen: number; readonly of: number }

/** Where parked notifications of a source are: the list in its Redis, or a file beside it. */
export type ParkedList = {
  /** The file; undefined for the list in Redis. */
  readonly file?: string
  /** The entries that the filter means, page by page: those of a page may be removed before the next one is asked for. */
  readonly pages: (filter: Filter) => AsyncGenerator<Page>
  /** @throws RelayError when nothing can be removed here: to be found out before anything is sent. */
  readonly checkWritable: () => Promise<void>
  /** Removes one entry of a page by its bytes. False when it is gone already. */
  readonly remove: (raw: Buffer) => Promise<boolean>
}

/** The parked list of one source, from the oldest entry to the newest that was there at the start. A relay may append meanwhile. */
export function createParkedList(client: Redis, sourceId: string): ParkedList {
  let from = 0
  let length = 0
  const ask = <T>(command: () => Promise<T>): Promise<T> => askRedis(sourceId, command)

  return {
    async *pages(filter: Filter): AsyncGenerator<Page> {
      from = 0
      length = await ask(() => client.lLen(PARKED_KEY))
      for (let seen = 0; from < length;) {
        const range = { from, most: Math.min(PAGE_ENTRIES, length - from), maxBytes: PAGE_BYTES }
        const page = await ask(() => asBytes(client).readParked(range))
        if (page.length === 0) return
        from += page.length
        seen += page.length
        const entries = page.map(readEntry).filter((entry) => matches(entry, filter))
        yield { entries, seen, of: seen + Math.max(0, length - from) }
      }
    },
    async checkWritable(): Promise<void> {
      // The very command that removes entries: without the right to it they would be sent again and again.
      await ask(() => client.lRem(NONE_KEY, 1, ''))
    },
    async remove(raw: Buffer): Promise<boolean> {
      const removed = await ask(() => client.lRem(PARKED_KEY, 1, raw))
      // Gone or removed: what is behind it has moved up by one.
      from--
      length--
      return removed > 0
    },
  }
}

/**
 * Connects to a source for as long as `body` needs it. Unlike a relay it does not wait for a Redis that is away at the start; a
 * connection that is cut later is made again. @throws RelayError `relay.parked.redis_failed`, or what `body` throws
 */
export async function withSource(source: SourceConfig, log: Logger, body: (client: Redis) => Promise<void>) {
  const client = createRedis({ ...source, name: source.id, log, reconnect: true })
  try {
    // The client itself would try for ever: its first failure ends it here.
    await new Promise<void>((resolve, reject) => {
      client.once('error', reject)
      client.connect().then(() => resolve(), reject)
    }).catch(async (error: unknown) => {
      const { says, words, fix } = await judgeConnection(error, source)
      const where = `the Redis of source "${source.id}" at ${new URL(source.url).host}`
      throw failed(`${where} cannot be used: ${says} (${words}): ${fix}`, error)
    })
    await body(client)
  } finally {
    if (client.isOpen) client.destroy()
  }
}

const failed = (words: string, cause: unknown) => new RelayError('relay.parked.redis_failed', words, { cause })

/** A command is tried so often: a connection that was cut is made again meanwhile. */
const TRIES = 8

/**
 * Gives a command to the Redis of a source, again when the connection was cut: it must be one that may run twice.
 * @throws RelayError `relay.parked.redis_failed`
 */
export async function askRedis<T>(sourceId: string, command: () => Promise<T>): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await command()
    } catch (error) {
      if (error instanceof ErrorReply || failures === TRIES)
        throw failed(
          `the Redis of source "${sourceId}" failed a command: ${describe(error)}; check ENIGMA_SOURCES and the rights of its user`,
          error,
        )
      await sleep(backoffMs(failures))
    }
  }
}
