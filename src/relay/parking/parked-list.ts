import { ErrorReply } from 'redis'
import { OTHER, parseEventType, RELAY_ROUTES, type Notification, type Routes } from '../../protocol/index.ts'
import { backoffMs, sleep, type Logger } from '../../runtime/index.ts'
import type { SourceConfig } from '../config.ts'
import { describe, RelayError } from '../relay-error.ts'
import { stampEvent } from '../item.ts'
import { formatNotice, stampNotice } from '../notice.ts'
import { asBytes, createRedis, judgeConnection, type Redis } from '../redis/redis-client.ts'
import { createNumbers, NONE_KEY, PARKED_KEY } from '../redis/relay-keys.ts'
import { payloadOf, readEntry, toShown, UNREADABLE, type Entry, type ParkedEntry } from './parked-entry.ts'
import type { Answer, Delivery } from './run-command.ts'

/** Selects entries; an absent field matches every entry. */
export type Filter = {
  readonly ids?: ReadonlySet<string> | undefined
  /** `too_large`, `refused`, or `unreadable` for elements that no relay wrote. */
  readonly reason?: string | undefined
  /** Matches entries parked at this time (ms) or later. The time of an unreadable entry is unknown, so it does not match. */
  readonly sinceMs?: number | undefined
}

export function matches(entry: Entry, { ids, reason, sinceMs }: Filter): boolean {
  if (ids !== undefined && !ids.has(entry.id)) return false
  if (reason !== undefined && reason !== (entry.kind === 'parked' ? entry.reason : UNREADABLE)) return false
  return sinceMs === undefined || (entry.kind === 'parked' && Date.parse(entry.parkedat) >= sinceMs)
}

/** A page holds at most this many entries and bytes, unless a single entry is larger. */
const MAX_PAGE_ENTRIES = 200
const MAX_PAGE_BYTES = 4 * 1024 * 1024

/** A part of the list: the matching entries, how many entries were read so far, and how many there are. */
export type Page = { readonly entries: readonly Entry[]; readonly seen: number; readonly of: number }

/** A list of a source's parked notifications: in its Redis, or in a file. */
export type ParkedList = {
  /** The file; undefined for the list in Redis. */
  readonly file?: string
  /** Yields the matching entries page by page. Entries of a page may be removed before the next page is requested. */
  readonly pages: (filter: Filter) => AsyncGenerator<Page>
  /** Checks the right to remove entries, before anything is sent. @throws RelayError when nothing can be removed */
  readonly checkWritable: () => Promise<void>
  /** Removes one entry of a page by its bytes. Returns false when it is already gone. */
  readonly remove: (raw: Buffer) => Promise<boolean>
}

/** Opens the parked list of one source, from the oldest entry to the newest one present at the start. A relay may append meanwhile. */
export function createParkedList(client: Redis, sourceId: string): ParkedList {
  let from = 0
  let length = 0
  const ask = <T>(command: () => Promise<T>): Promise<T> => askRedis(sourceId, command)

  return {
    async *pages(filter: Filter): AsyncGenerator<Page> {
      from = 0
      length = await ask(() => client.lLen(PARKED_KEY))
      for (let seen = 0; from < length;) {
        const range = { from, most: Math.min(MAX_PAGE_ENTRIES, length - from), maxBytes: MAX_PAGE_BYTES }
        const page = await ask(() => asBytes(client).readParked(range))
        if (page.length === 0) return
        from += page.length
        seen += page.length
        const entries = page.map(readEntry).filter((entry) => matches(entry, filter))
        yield { entries, seen, of: seen + Math.max(0, length - from) }
      }
    },
    async checkWritable(): Promise<void> {
      // The same command that removes entries: without the right to it, entries would be sent again and again.
      await ask(() => client.lRem(NONE_KEY, 1, ''))
    },
    async remove(raw: Buffer): Promise<boolean> {
      const removed = await ask(() => client.lRem(PARKED_KEY, 1, raw))
      // Removed by us or by another process: the entries after it have moved up by one.
      from--
      length--
      return removed > 0
    },
  }
}

/**
 * Connects to a source while `body` needs it. Unlike a relay, it does not wait for a Redis that is unreachable at the start. A connection that is
 * lost later is re-established. @throws RelayError `relay.parked.redis_failed`, or what `body` throws
 */
export async function withSource(source: SourceConfig, log: Logger, body: (client: Redis) => Promise<void>) {
  const client = createRedis({ ...source, name: source.id, log, reconnect: true })
  try {
    // The client itself would retry forever. Here, its first failure ends the attempt.
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

/** How often a command is tried: a lost connection is re-established meanwhile. */
const MAX_TRIES = 8

/**
 * Runs a command in the Redis of a source, and repeats it when the connection is lost. The command must be safe to repeat. @throws RelayError
 * `relay.parked.redis_failed`
 */
export async function askRedis<T>(sourceId: string, command: () => Promise<T>): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await command()
    } catch (error) {
      if (error instanceof ErrorReply || failures === MAX_TRIES)
        throw failed(
          `the Redis of source "${sourceId}" failed a command: ${describe(error)}; check ENIGMA_SOURCES and the rights of its user`,
          error,
        )
      await sleep(backoffMs(failures))
    }
  }
}

/** The outcome of an entry. `gone`: another process removed it from the list meanwhile. */
export type TakenOut = { readonly id: string } & (Answer | { readonly state: 'dropped' | 'gone' })

type TakeOutOptions = {
  readonly list: ParkedList
  readonly filter: Filter
  readonly sourceId: string
  readonly routes: Routes
  readonly client: Redis
  /** Sends the entries until the signal aborts. */
  readonly delivery: Delivery
  /** Sends the notices about them, also after the signal aborted. */
  readonly notices: Delivery
  /** Ends the work after the entries in progress: accepted ones are still announced and removed. */
  readonly signal: AbortSignal
  /** Called after each page. */
  readonly onPage?: (page: Page) => void
}

/** How many entries are sent, announced and removed together. After a crash, at most this many are sent again. */
const MAX_BATCH = 10

/**
 * Sends the matching entries again, or drops them permanently, the oldest first. A retried entry leaves the list after its target has accepted it,
 * and any entry only after its notice was accepted. A process that dies before that leaves the entry there, and the next one sends it with the same
 * id. @throws RelayError when the list cannot be read or changed, or nothing can be announced
 */
export async function* takeOut(
  action: 'retry' | 'drop',
  { list, filter, sourceId, routes, client, delivery, notices, signal, onPage }: TakeOutOptions,
): AsyncGenerator<TakenOut> {
  const numbers = createNumbers({ client, now: Date.now })

  const announce = async (entries: readonly ParkedEntry[]): Promise<void> => {
    if (entries.length === 0) return
    const number = await askRedis(sourceId, numbers.next)
    const state = action === 'retry' ? 'retried' : 'dropped'
    const timeMs = Date.now()
    const told = entries.map((entry, index) => {
      const packet = formatNotice({ subType: 'parked', payload: { ...toShown(entry, sourceId), state } })
      return stampNotice(packet, { sourceId, number, index, timeMs })
    })
    const answers = await notices.deliver(told)
    for (const answer of answers)
      if (answer?.state !== 'sent')
        throw new RelayError(
          'relay.parked.not_announced',
          `the notices about parked notifications were not accepted: ${answer?.why}; the entries stay on the list; run the command again`,
        )
  }

  await list.checkWritable()
  const problem = await notices.check(RELAY_ROUTES.parked)
  if (problem !== undefined) throw new RelayError('relay.parked.queue_unusable', problem)
  for await (const page of list.pages(filter)) {
    for (let from = 0; from < page.entries.length && !signal.aborted; from += MAX_BATCH) {
      const some = page.entries.slice(from, from + MAX_BATCH)
      const taken = action === 'drop' ? drop(some) : await resend(some, routes, delivery)
      await announce(taken.flatMap(([entry, { state }]) => (state !== 'stays' && isAnnounced(entry) ? [entry] : [])))
      for (const [{ raw }, one] of taken) {
        const isGone = one.state !== 'stays' && !(await list.remove(raw))
        yield isGone && action === 'drop' ? { id: one.id, state: 'gone' } : one
      }
    }
    if (signal.aborted) return
    onPage?.(page)
  }
}

/** Whether the cloud knows the entry as parked: parking one of the relay's own notices is not announced. */
const isAnnounced = (entry: Entry): entry is ParkedEntry =>
  entry.kind === 'parked' && entry.notification.transport !== 'relay'

type Taken = readonly [Entry, TakenOut]

const drop = (entries: readonly Entry[]) => entries.map((entry): Taken => [entry, { id: entry.id, state: 'dropped' }])

/** Returns the outcome of each entry, except those that were not sent because the command was stopped. */
async function resend(entries: readonly Entry[], routes: Routes, delivery: Delivery): Promise<Taken[]> {
  const parked = entries.filter((entry) => entry.kind === 'parked')
  const stamped = parked.map(({ id, event, notification }) => {
    const one = { id, route: routeOf(notification, routes), receivedMs: Date.parse(notification.time) }
    return stampEvent(event, one, [notification.subject, payloadOf(notification)])
  })
  const answers = await delivery.deliver(stamped)
  return entries.flatMap((entry): Taken[] => {
    const { id } = entry
    if (entry.kind === 'unreadable') return [[entry, { id, state: 'stays', why: `it cannot be sent: ${entry.why}` }]]
    const answer = answers.shift()
    return answer === undefined ? [] : [[entry, { id, ...answer }]]
  })
}

/**
 * Returns the route of the notification's type today. Returns `other` when the notification went there for a reason, or when no route has its type
 * any more.
 */
function routeOf({ type, reason }: Notification, routes: Routes) {
  const types = reason === undefined ? parseEventType(type) : undefined
  return (types && routes.find(types.type, types.subType)) ?? OTHER
}
