import { OTHER, parseEventType, RELAY_ROUTES, type Notification, type Routes } from '../../protocol/index.ts'
import { RelayError } from '../errors.ts'
import { stampEvent } from '../item.ts'
import { formatNotice, stampNotice } from '../notice.ts'
import type { Redis } from '../redis/client.ts'
import { createNumbers } from '../redis/numbers.ts'
import type { Answer, Delivery } from './parked-delivery.ts'
import { payloadOf, toShown, type Entry, type ParkedEntry } from './parked-entry.ts'
import { askRedis, type Filter, type Page, type ParkedList } from './parked-list.ts'

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
const TOGETHER = 10

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
    for (let from = 0; from < page.entries.length && !signal.aborted; from += TOGETHER) {
      const some = page.entries.slice(from, from + TOGETHER)
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
