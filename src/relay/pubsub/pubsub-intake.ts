import { OTHER, type Route } from '../../protocol/index.ts'
import { toItem, type Acknowledger, type Former, type Item, type Stamped } from '../item.ts'
import {
  addTo,
  createDiscardLedger,
  createUnwrittenBuffer,
  type JournalEntry,
  type JournalRow,
  type Lost,
  type Heard,
} from '../journal/journal-entry.ts'
import { createJournalWriter, TRIM_BYTES, trimJournal, type Backlog } from '../journal/journal-writer.ts'
import type { Journal } from '../journal/journal.ts'
import { isNoticeChannel, stampEntry } from '../notice.ts'
import type { Sender } from '../sender/sender.ts'
import type { SourceOptions } from '../source.ts'

type PubsubIntakeOptions = Pick<SourceOptions, 'log' | 'metrics' | 'now' | 'stamp'> & {
  readonly journal: Journal
  readonly senders: ReadonlyMap<Route, Sender>
  /** The bytes of one route in memory above which its Pub/Sub notifications stay in the journal only. */
  readonly routeBytes: number
  /** The bytes of all routes in memory above which nothing more is kept while the journal cannot be written. */
  readonly memoryBytes: number
  /** The bytes that the journal may use on disk. */
  readonly journalBytes: number
  /** Makes the notice of a gap for losses, with a number of its own. Needs no Redis. */
  readonly toGap: (lost: Lost) => Heard
  /** Called when the notice of such a gap is made. */
  readonly onGap: (sourceId: string) => void
  /** Parks a notification of a source. Resolves with true when it is parked. */
  readonly park: (sourceId: string, ...what: Parameters<Acknowledger['park']>) => Promise<boolean>
}

/** The bytes of packets that are read back at once. */
const READ_BYTES = 256 * 1024

/**
 * Creates the Pub/Sub intake: notifications on their way into the lanes, through the journal. All notifications heard in one turn of the event loop
 * are written in one transaction and then go into their lanes. When a route's lanes are full, its notifications stay in the journal and are read back
 * in order when there is room. Notifications that an earlier process left are handled in the same way, as if the lanes had been full. While the
 * journal cannot be written, notifications go on without it, as long as memory lasts.
 */
export function createPubsubIntake(options: PubsubIntakeOptions) {
  const { journal, senders, log, metrics, now, stamp, routeBytes, memoryBytes, journalBytes, toGap, onGap, park } =
    options
  /** The notifications that are only in the journal, by the route under which they were written. */
  const backlogs = new Map<string, Backlog>()
  /** The last row that an earlier process may have sent, by the same route. */
  const formerRows = new Map<string, number>()
  let heard: (Heard & JournalRow)[] = []
  let scheduled = false
  let recoveries = journal.recoveries()
  const waiting: (() => void)[] = []
  const closing = new AbortController()
  const { signal } = closing
  const unwritten = createUnwrittenBuffer()
  const discarded = createDiscardLedger({ log, metrics }, () => announceLost(), signal)
  const writer = createJournalWriter({
    journal,
    log,
    now,
    discarded,
    onDue: () => schedule(),
    // Reads back the notifications that could not be read while the journal was broken.
    onWritable: () => setImmediate(() => signal.aborted || refill()),
  })

  const createAcknowledger = (
    sourceId: string,
    settle: Acknowledger['settle'],
    keepAttempt?: Acknowledger['keepAttempt'],
  ): Acknowledger => ({
    settle,
    keepAttempt,
    park: async (item, reason, detail) => {
      if (await park(sourceId, item, reason, detail)) settle(item)
    },
  })
  const acknowledgers = new Map<string, Acknowledger>()
  /** Returns the acknowledger that all rows of a route and source share. */
  const acknowledgerOf = ({ sourceId, route }: JournalEntry): Acknowledger => {
    const name = `${route} ${sourceId}`
    const known = acknowledgers.get(name)
    if (known !== undefined) return known
    const settle = ({ position }: Item) => writer.forget(route, position)
    const one = createAcknowledger(sourceId, settle, (item) => writer.keepAttempt(route, item.position, item.attempt))
    acknowledgers.set(name, one)
    return one
  }

  const schedule = () => {
    if (scheduled || signal.aborted) return
    scheduled = true
    setImmediate(() => {
      scheduled = false
      flush()
      tellWritten()
    })
  }
  const tellWritten = () => waiting.splice(0).forEach((tell) => tell())

  const flush = () => {
    const batch = heard
    heard = []
    if (batch.length > 0 || writer.hasWork) {
      const isWritten = writer.mayTry(signal.aborted) && writer.write(batch)
      for (const one of batch) (isWritten ? offer : offerUnwritten)(one)
      // Discards as many bytes as were added, and some more.
      let bytes = isWritten ? batch.reduce((sum, { entry }) => sum + entry.packet.length, TRIM_BYTES) : 0
      const trim = () => trimJournal(backlogs, { journal, maxBytes: journalBytes, onDiscarded: discarded.count })
      while (bytes > 0 && writer.tryJournal(trim) === true) bytes -= TRIM_BYTES
    }
    if (journal.recoveries() === recoveries) return
    recoveries = journal.recoveries()
    announceLost()
  }

  const bytesOf = (route: Route): number => senders.get(route)?.bytes ?? 0
  const push = (stamped: Stamped, acknowledger: Acknowledger, row: number, former?: Former) =>
    senders.get(stamped.route)?.push(toItem(stamped, acknowledger, row, former))

  const offer = ({ stamped, entry, row }: Heard & JournalRow) => {
    if (backlogs.has(entry.route)) return
    if (bytesOf(stamped.route) > routeBytes) backlogs.set(entry.route, { route: stamped.route, row: row - 1 })
    else push(stamped, acknowledgerOf(entry), row)
  }

  const offerUnwritten = (one: Heard & JournalRow) => {
    let heldBytes = unwritten.bytes
    for (const sender of senders.values()) heldBytes += sender.bytes
    if (heldBytes > memoryBytes && !isNoticeChannel(one.entry.channel)) discarded.add(one.entry)
    else if (backlogs.has(one.entry.route)) unwritten.wait(one)
    else pushUnwritten(one)
  }
  const pushUnwritten = ({ stamped, entry, row }: Heard & JournalRow) =>
    push(stamped, createAcknowledger(entry.sourceId, unwritten.send(entry)), row)

  /** Reads notifications back from the journal, as far as there is room. */
  const refill = () => {
    for (const [name, at] of backlogs)
      while (backlogs.has(name) && bytesOf(at.route) <= routeBytes / 2) {
        const rows = writer.tryJournal(() => journal.read(name, at.row, Math.min(READ_BYTES, routeBytes / 2)))
        if (rows === undefined) break
        for (const { row, entry } of rows) {
          unwritten.takeBefore(name, row).forEach(pushUnwritten)
          const stamped = stampEntry(entry, stamp)
          push(stamped, acknowledgerOf(entry), row, {
            attempt: entry.attempt,
            isRedelivery: row <= (formerRows.get(name) ?? 0),
          })
          Object.assign(at, { route: stamped.route, row })
        }
        if (rows.length > 0) continue
        backlogs.delete(name)
        unwritten.takeBefore(name, Number.POSITIVE_INFINITY).forEach(pushUnwritten)
      }
  }

  /**
   * Announces losses. The transaction that writes the notice removes the losses from the ledger, so they are announced once, whatever ends the
   * process. While the journal cannot be written, losses in its ledger wait for it, and all others are announced from memory.
   */
  const announceLost = () => {
    const ledger = writer.tryJournal(journal.lost) ?? []
    const notInLedger = discarded.unwritten()
    const all = new Map<string, Lost>()
    for (const lost of [...ledger, ...notInLedger]) addTo(all, lost)
    if (all.size === 0) return
    const announced = [...all.values()]
    for (const sourceId of new Set(announced.map((lost) => lost.sourceId))) onGap(sourceId)
    const gaps = announced.map(toGapRow)
    if (writer.write(gaps, announced)) return gaps.forEach(offer)
    discarded.written()
    for (const lost of notInLedger) offerUnwritten(toGapRow(lost))
    if (ledger.length > 0) discarded.schedule()
  }
  const toGapRow = (lost: Lost) => numbered(toGap(lost))
  const numbered = (one: Heard): Heard & JournalRow => ({ ...one, row: journal.nextRow(one.entry.route) })

  return {
    announceLost,
    /** Takes a notification. Never waits: it is written and put in its lane at the end of this turn. */
    hear(stamped: Stamped, entry: JournalEntry): void {
      heard.push(numbered({ stamped, entry }))
      schedule()
    },
    /** Resolves when every heard notification is in the journal, or when the journal cannot be written. */
    written: (): Promise<void> => {
      schedule()
      return signal.aborted ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))
    },
    /** Keeps a number under a name, in the same transaction as the notifications heard before. */
    note(name: string, value: number): void {
      writer.note(name, value)
      schedule()
    },
    /** Adopts the notifications that an earlier process left. Call it once, before anything is heard. */
    adopt(): number {
      const routes = new Map([...senders.keys()].map((route) => [route.name, route]))
      // Another version may have had more routes.
      for (const [name, lastRow] of journal.lastRows()) {
        backlogs.set(name, { route: routes.get(name) ?? OTHER, row: 0 })
        formerRows.set(name, lastRow)
      }
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
    /** Reads back notifications. Call it when there may be room again. */
    refill,
    /** Writes what is still gathered. Notifications that are accepted after this are sent again by the next start. */
    close(): void {
      closing.abort()
      writer.due()
      flush()
      // Notifications without a row are lost with this process.
      for (const one of unwritten.left()) discarded.add(one)
      announceLost()
      tellWritten()
    },
    /** Since when (ms) the journal cannot be written; undefined when it can. */
    get brokenSince() {
      return writer.brokenSince
    },
    /** The routes of which some notifications are only in the journal. */
    get backlogs(): readonly Route[] {
      return [...backlogs.values()].map(({ route }) => route)
    },
  }
}

export type PubsubIntake = ReturnType<typeof createPubsubIntake>
