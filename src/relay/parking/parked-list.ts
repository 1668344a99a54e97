import { ErrorReply } from 'redis'
import { backoffMs, sleep, type Logger } from '../../runtime/index.ts'
import type { SourceConfig } from '../config.ts'
import { describe, RelayError } from '../errors.ts'
import { asBytes, createRedis, judgeConnection, type Redis } from '../redis/client.ts'
import { NONE_KEY, PARKED_KEY, createNumbers } from '../redis/keys.ts'
import { readEntry, UNREADABLE, payloadOf, toShown, type Entry, type ParkedEntry } from './parked-entry.ts'
import { OTHER, parseEventType, RELAY_ROUTES, type Notification, type Routes } from '../../protocol/index.ts'
import { stampEvent } from '../item.ts'
import { formatNotice, stampNotice } from '../notice.ts'
import type { Answer, Delivery } from './run-command.ts'

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
const MAX_PAGE_ENTRIES = 200
const MAX_PAGE_BYTES = 4 * 1024 * 1024

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
const MAX_TRIES = 8

/**
 * Gives a command to the Redis of a source, again when the connection was cut: it must be one that may run twice.
 * @throws RelayError `relay.parked.redis_failed`
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

/** What became of an entry. `gone`: somebody else took it from the list meanwhile. */
export type TakenOut = { readonly id: string } & (Answer | { readonly state: 'dropped' | 'gone' })

type TakeOutOptions = {
  readonly list: ParkedList
  readonly filter: Filter
  readonly sourceId: string
  readonly routes: Routes
  readonly client: Redis
  /** Sends the entries, until the signal aborts. */
  readonly delivery: Delivery
  /** Sends the notices about them, also after that. */
  readonly notices: Delivery
  /** Ends it after the entries at hand: what was accepted is announced and removed all the same. */
  readonly signal: AbortSignal
  /** Called for each page that was done. */
  readonly onPage?: (page: Page) => void
}

/** So many are sent, announced and removed together: a process that dies in between leaves no more to be sent again. */
const MAX_BATCH = 10

/**
 * Sends again what matches the filter, or drops it for ever, the oldest first. A retried entry leaves the list when its target has it,
 * and any entry only after its notice was accepted: a process that dies before that leaves it there, and the next one sends it with the
 * same id. @throws RelayError when the list cannot be read or changed, or nothing can be announced
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

/** Whether the cloud knows it as parked: parking announces none of the relay's own notices. */
const isAnnounced = (entry: Entry): entry is ParkedEntry =>
  entry.kind === 'parked' && entry.notification.transport !== 'relay'

type Taken = readonly [Entry, TakenOut]

const drop = (entries: readonly Entry[]) => entries.map((entry): Taken => [entry, { id: entry.id, state: 'dropped' }])

/** What became of each, but for those that were not sent when the command was stopped. */
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

/** Where it goes today: to the route of its type; to `other` when it went there for a reason, or no route has its type any more. */
function routeOf({ type, reason }: Notification, routes: Routes) {
  const types = reason === undefined ? parseEventType(type) : undefined
  return (types && routes.find(types.type, types.subType)) ?? OTHER
}
