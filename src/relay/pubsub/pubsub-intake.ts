import { OTHER, type Route } from '../../protocol/index.ts'
import type { Logger } from '../../runtime/index.ts'
import type { GivenUpLedger } from './given-up.ts'
import type { Keeper } from '../item.ts'
import type { Journal, JournalEntry, JournalRow, Lost } from '../journal/journal.ts'
import { addTo } from '../journal/journal-row.ts'
import { TRIM_ROWS, trimJournal } from '../journal/trim.ts'
import { createJournalWriter } from '../journal/journal-writer.ts'
import type { Metrics } from '../metrics.ts'
import { isNoticeChannel } from '../notification/notice.ts'
import type { Sender } from '../sender/sender.ts'
import { toItem, type Stamped } from '../notification/stamp.ts'
import { stampEntry } from '../notification/stamp-entry.ts'
import { createUnwritten, type Heard } from './unwritten.ts'

export type JournalIntakeOptions = {
  readonly journal: Journal
  readonly senders: ReadonlyMap<Route, Sender>
  readonly log: Logger
  readonly metrics: Metrics
  readonly now: () => number
  /** Bytes of one route in memory beyond which its PubSub notifications stay in the journal only. */
  readonly routeBytes: number
  /** Bytes of all routes in memory beyond which nothing can be kept while the journal cannot be written. */
  readonly memoryBytes: number
  /** Bytes on disk that the journal may use. */
  readonly journalBytes: number
  /** What no room is left for. */
  readonly givenUp: GivenUpLedger
  /** Makes the notice of a gap for what is lost, with a number of its own. Needs no Redis. */
  readonly toGap: (lost: Lost) => Heard
  /** Puts one aside, in a source. Resolves with true when it is there. */
  readonly park: (sourceId: string, ...what: Parameters<Keeper['park']>) => Promise<boolean>
}

/** Bytes of packets read back at once. */
const READ_BYTES = 256 * 1024

/**
 * PubSub notifications on their way into the lanes, by the journal. All that is heard in one turn of the event loop is written
 * in one transaction and then goes into its lane. When a route's lanes are full, its notifications stay in the journal and are
 * read back in order when there is room; what a former process left is taken up in the same way, as if the lanes had been full.
 * While the journal cannot be written they go on without it, as long as memory lasts.
 */
export function createJournalIntake(options: JournalIntakeOptions) {
  const { journal, senders, log, metrics, now, routeBytes, memoryBytes, journalBytes, givenUp, toGap, park } = options
  /** Routes whose notifications are in the journal only from behind this row on. */
  const behind = new Map<Route, number>()
  let heard: Heard[] = []
  const unwritten = createUnwritten()
  const writer = createJournalWriter({
    journal,
    log,
    now,
    givenUp,
    // What could not be read back while it was broken.
    onWritable: () => setImmediate(() => closed || refill()),
  })
  let scheduled = false
  let closed = false
  let recoveries = journal.recoveries()
  const waiting: (() => void)[] = []

  const settle = (place: number) => {
    // What was heard while the journal could not be written may have no row there.
    const row = place > 0 ? place : unwritten.settle(place)
    if (row !== undefined) writer.forget(row)
    schedule()
  }
  const keepers = new Map<string, Keeper>()
  const keeperOf = (sourceId: string): Keeper => {
    const known = keepers.get(sourceId)
    if (known !== undefined) return known
    const keeper: Keeper = {
      settle: (item) => settle(item.place),
      park: async (item, reason, detail) => {
        if (await park(sourceId, item, reason, detail)) settle(item.place)
      },
    }
    keepers.set(sourceId, keeper)
    return keeper
  }

  const schedule = () => {
    if (scheduled || closed) return
    scheduled = true
    setImmediate(() => {
      scheduled = false
      flush()
      tellWritten()
    })
  }
  const tellWritten = () => {
    for (const told of waiting.splice(0)) told()
  }

  const flush = () => {
    writeHeard()
    if (journal.recoveries() === recoveries) return
    recoveries = journal.recoveries()
    announceLost()
  }
  const writeHeard = () => {
    if (heard.length === 0 && !writer.hasWork) return
    const batch = heard
    heard = []
    // The older ones first: rows are in the order in which they were heard.
    const isWritten =
      unwritten.size === 0 || (writer.mayTry(closed) && unwritten.writeAll((entries) => writer.write(entries), offer))
    const rows = isWritten && writer.mayTry(closed) ? writer.write(batch.map(({ entry }) => entry)) : undefined
    if (rows === undefined) return batch.forEach(offerUnwritten)
    batch.forEach((one, index) => offer(one, rows[index] as number))
    try {
      // As many as came, and some more.
      for (let portions = 1 + batch.length / TRIM_ROWS; portions > 0; portions--)
        if (!trimJournal(behind, { journal, maxBytes: journalBytes, givenUp })) break
    } catch (error) {
      writer.broken(error)
    }
  }

  const push = ({ stamped, entry }: Heard, row: number) =>
    senders.get(stamped.route)?.push(toItem(stamped, keeperOf(entry.sourceId), row))

  const offer = (one: Heard, row: number) => {
    const { route } = one.stamped
    if (behind.has(route)) return
    if ((senders.get(route)?.bytes ?? 0) > routeBytes) behind.set(route, row - 1)
    else push(one, row)
  }

  const offerUnwritten = (one: Heard) => {
    const { route } = one.stamped
    let held = unwritten.bytes
    for (const sender of senders.values()) held += sender.bytes
    if (held > memoryBytes && !isNoticeChannel(one.entry.channel))
      givenUp.add(one.entry.sourceId, route.name, one.entry.timeMs)
    else if (!behind.has(route)) push(one, unwritten.addToLane(one))
    else unwritten.addWaiting(one)
  }

  /** Reads back what stayed in the journal, as far as there is room. */
  const refill = () => {
    for (const [route, cursor] of behind) {
      const sender = senders.get(route) as Sender
      let after = cursor
      while (sender.bytes <= routeBytes / 2) {
        let rows: JournalRow[]
        try {
          rows = journal.read(route.name, after, Math.min(READ_BYTES, routeBytes / 2))
        } catch (error) {
          writer.broken(error)
          break
        }
        for (const { row, ...entry } of rows) {
          push({ stamped: stampEntry(entry), entry }, row)
          after = row
        }
        if (rows.length === 0) {
          behind.delete(route)
          // All of its rows are read: what could not be written comes next.
          for (const one of unwritten.takeOf(route)) push(one, unwritten.addToLane(one))
          break
        }
      }
      if (behind.has(route)) behind.set(route, after)
    }
  }

  /**
   * Announces what is lost. The transaction that writes the notice takes it off the ledger: it is announced once, whatever ends the
   * process. While the journal cannot be written, what it knows waits for it, and what it does not know is announced from memory.
   */
  const announceLost = () => {
    const ledger = writer.ledger()
    const notInLedger = givenUp.unwritten()
    const all = new Map<string, Lost>()
    for (const lost of [...ledger, ...notInLedger]) addTo(all, lost)
    if (all.size === 0) return
    const gaps = [...all.values()].map(toGap)
    const rows = writer.write(
      gaps.map(({ entry }) => entry),
      [...all.values()],
    )
    if (rows !== undefined) return gaps.forEach((gap, index) => offer(gap, rows[index] as number))
    givenUp.written()
    for (const lost of notInLedger) offerUnwritten(toGap(lost))
    if (ledger.length > 0) givenUp.schedule()
  }

  return {
    announceLost,
    /** Never waits: it is written and offered at the end of this turn. */
    hear(stamped: Stamped, entry: JournalEntry): void {
      heard.push({ stamped, entry })
      schedule()
    },
    /** Resolves when what was heard is in the journal, or the journal cannot be written. */
    written: (): Promise<void> => {
      schedule()
      return closed ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))
    },
    /** Keeps a number under a name, in the same transaction as what was heard before. */
    note(name: string, value: number): void {
      writer.note(name, value)
      schedule()
    },
    /** Takes up what a former process left. To be called once, before anything is heard. */
    adopt(): number {
      const routes = [...senders.keys()]
      journal.reroute(
        routes.map((route) => route.name),
        OTHER.name,
      )
      const names = new Set(journal.routes())
      for (const route of routes) if (names.has(route.name)) behind.set(route, 0)
      const { rows } = journal.size()
      if (rows > 0) {
        log.info(
          { code: 'relay.journal.adopted', notifications: rows },
          'The relay continues with Pub/Sub notifications that an earlier run left in the journal',
        )
        metrics.adopted.inc({ source: 'journal', transport: 'pubsub' }, rows)
      }
      refill()
      announceLost()
      return rows
    },
    /** To be called when there may be room again. */
    refill,
    /** Writes what is left; what SQS accepts after this is sent again by the next start. */
    close(): void {
      closed = true
      flush()
      announceLost()
      tellWritten()
    },
    /** Since when (ms) the journal cannot be written; undefined when it can. */
    get brokenSince() {
      return writer.brokenSince
    },
    /** Routes of which a part is in the journal only. */
    get behind(): readonly Route[] {
      return [...behind.keys()]
    },
  }
}

export type JournalIntake = ReturnType<typeof createJournalIntake>
