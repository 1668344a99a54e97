import type { Announcer } from './announce.ts'
import type { Entry, ParkedEntry, UnreadableEntry } from '../parking/parked-entry.ts'
import type { Filter } from './filter.ts'
import type { Page, ParkedList } from '../parking/parked-list.ts'
import { resend, type ResendOptions } from './resend.ts'

/** What became of an entry. `gone`: somebody else took it from the list meanwhile. */
export type TakenOut = {
  readonly id: string
  readonly state: 'sent' | 'dropped' | 'gone' | 'stays'
  /** `sent`: the queue that has it. */
  readonly queue?: string
  /** `stays`: why. */
  readonly why?: string
}

export type TakeOutOptions = {
  readonly list: ParkedList
  readonly filter: Filter
  readonly announcer: Announcer
  /** Ends it between two requests; what was accepted is removed all the same. */
  readonly signal: AbortSignal
  /** Called for each page that was done. */
  readonly onPage?: (page: Page) => void
}

/** So many are announced and removed together: a process that dies in between leaves no more to be announced again. */
const DROP_TOGETHER = 10

const isParked = (entry: Entry): entry is ParkedEntry => entry.kind === 'parked'

/** What the cloud knows as parked: not the relay's own notices, of which parking announces none. */
const isAnnounced = (entry: Entry): entry is ParkedEntry => isParked(entry) && entry.notification.transport !== 'relay'

/**
 * Sends again what the filter means, the oldest first. An entry leaves the list when SQS has accepted it and the cloud was told so;
 * a process that dies before that leaves it there, and the next one sends it with the same id.
 *
 * @throws ParkedError when the list cannot be read or changed, or nothing can be announced
 */
export async function* retryParked({
  list,
  filter,
  announcer,
  signal,
  onPage,
  ...sending
}: TakeOutOptions & Omit<ResendOptions, 'signal'>): AsyncGenerator<TakenOut> {
  await list.checkWritable()
  await announcer.check()
  for await (const page of list.pages(filter)) {
    for (const entry of page.entries) if (!isParked(entry)) yield cannotBeSent(entry)
    for await (const request of resend(page.entries.filter(isParked), { ...sending, signal })) {
      const accepted = request.filter((one) => one.accepted)
      await announcer.announce(accepted.map(({ entry }) => entry).filter(isAnnounced), 'retried')
      for (const { entry, queue } of accepted) {
        await list.remove(entry.raw)
        yield { id: entry.id, state: 'sent', queue }
      }
      for (const one of request) if (!one.accepted) yield { id: one.entry.id, state: 'stays', why: one.why }
    }
    onPage?.(page)
    if (signal.aborted) return
  }
}

const cannotBeSent = ({ id, why }: UnreadableEntry): TakenOut => ({
  id,
  state: 'stays',
  why: `it cannot be sent: ${why}`,
})

/**
 * Removes what the filter means, for ever.
 *
 * @throws ParkedError when the list cannot be read or changed, or nothing can be announced
 */
export async function* dropParked({
  list,
  filter,
  announcer,
  signal,
  onPage,
}: TakeOutOptions): AsyncGenerator<TakenOut> {
  await list.checkWritable()
  await announcer.check()
  for await (const page of list.pages(filter)) {
    for (let from = 0; from < page.entries.length; from += DROP_TOGETHER) {
      if (signal.aborted) return
      const some = page.entries.slice(from, from + DROP_TOGETHER)
      // The cloud knows nothing of what was never a notification.
      await announcer.announce(some.filter(isAnnounced), 'dropped')
      for (const { id, raw } of some) yield { id, state: (await list.remove(raw)) ? 'dropped' : 'gone' }
    }
    onPage?.(page)
  }
}
