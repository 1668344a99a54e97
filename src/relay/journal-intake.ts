import { OTHER, type Route } from '../protocol/index.ts'
import { backoffMs, sleep, type Logger } from '../runtime/index.ts'
import { describe } from './errors.ts'
import type { Keeper } from './item.ts'
import type { Journal, JournalEntry } from './journal.ts'
import type { Metrics } from './metrics.ts'
import { formatParked } from './parked.ts'
import type { Sender } from './sender.ts'
import { stamp, toItem, type Stamped } from './stamp.ts'

export type JournalIntakeOptions = {
  readonly journal: Journal
  readonly senders: ReadonlyMap<Route, Sender>
  readonly log: Logger
  readonly metrics: Metrics
  readonly now: () => number
  /** Bytes of one route in memory beyond which its PubSub notifications stay in the journal only. */
  readonly routeBytes: number
  /** Appends to the parked list of a source. */
  readonly park: (sourceId: string, entry: string) => Promise<void>
  readonly signal: AbortSignal
}

/** What was heard and is not written yet. */
export type Heard = { readonly stamped: Stamped; readonly entry: JournalEntry }

/** Rows read back at once. */
const READ_ROWS = 500

/**
 * PubSub notifications on their way into the lanes, by the journal. All that is heard in one turn of the event loop is written
 * in one transaction and then goes into its lane. When a route's lanes are full, its notifications stay in the journal and are
 * read back in order when there is room; what a former process left is taken up in the same way, as if the lanes had been full.
 */
export function createJournalIntake(options: JournalIntakeOptions) {
  const { journal, senders, log, metrics, now, routeBytes, park, signal } = options
  /** Routes whose notifications are in the journal only from behind this row on. */
  const behind = new Map<Route, number>()
  let heard: Heard[] = []
  let settled: number[] = []
  let scheduled = false
  let brokenSince: number | undefined
  let memoryOnly = 0
  let closed = false

  const keeperOf = (sourceId: string): Keeper => ({
    settle: (item) => {
      settled.push(item.place)
      schedule()
    },
    park: async (item, reason, detail) => {
      const entry = formatParked(item, reason, detail, now())
      for (let failures = 1; !signal.aborted; failures++) {
        try {
          await park(sourceId, entry)
          settled.push(item.place)
          return schedule()
        } catch (error) {
          if (failures === 1) log.warn({ id: item.id, error: describe(error) }, 'cannot park yet, trying again')
          await sleep(backoffMs(failures), signal)
        }
      }
    },
  })
  const keepers = new Map<string, Keeper>()
  const keeper = (sourceId: string): Keeper => {
    const known = keepers.get(sourceId) ?? keeperOf(sourceId)
    keepers.set(sourceId, known)
    return known
  }

  const schedule = () => {
    if (scheduled || closed) return
    scheduled = true
    setImmediate(() => {
      scheduled = false
      flush()
    })
  }

  const flush = () => {
    if (heard.length === 0 && settled.length === 0) return
    const batch = heard
    const rowsToForget = settled
    heard = []
    settled = []
    let rows: number[]
    try {
      rows = journal.write(batch.map(({ entry }) => entry), rowsToForget.filter((row) => row >= 0))
      if (brokenSince !== undefined) log.info('the journal can be written again')
      brokenSince = undefined
    } catch (error) {
      if (brokenSince === undefined) log.error({ error: describe(error) }, 'the journal cannot be written: PubSub goes on without it, and a crash now loses what SQS has not accepted; free the disk or mend ENIGMA_DATA_DIR')
      brokenSince ??= now()
      settled = [...rowsToForget, ...settled]
      rows = batch.map(() => --memoryOnly)
    }
    batch.forEach(({ stamped, entry }, index) => offer(stamped, entry, rows[index] as number))
  }

  const offer = (stamped: Stamped, entry: JournalEntry, row: number) => {
    const sender = senders.get(stamped.route) as Sender
    if (row > 0) {
      if (behind.has(stamped.route)) return
      if (sender.bytes > routeBytes) {
        behind.set(stamped.route, row - 1)
        return
      }
    }
    sender.push(toItem(stamped, keeper(entry.sourceId), row))
  }

  /** Reads back what stayed in the journal, as far as there is room. */
  const refill = () => {
    for (const [route, cursor] of behind) {
      const sender = senders.get(route) as Sender
      let after = cursor
      while (sender.bytes <= routeBytes / 2) {
        const rows = journal.read(route.name, after, READ_ROWS)
        for (const { row, ...entry } of rows) {
          sender.push(toItem(stampEntry(entry), keeper(entry.sourceId), row))
          after = row
        }
        if (rows.length < READ_ROWS) {
          behind.delete(route)
          break
        }
      }
      if (behind.has(route)) behind.set(route, after)
    }
  }

  return {
    /** Never waits: it is written and offered at the end of this turn. */
    hear(stamped: Stamped, entry: JournalEntry): void {
      heard.push({ stamped, entry })
      schedule()
    },
    /** Takes up what a former process left. To be called once, before anything is heard. */
    adopt(): number {
      const routes = [...senders.keys()]
      journal.reroute(routes.map((route) => route.name), OTHER.name)
      const names = new Set(journal.routes())
      for (const route of routes) if (names.has(route.name)) behind.set(route, 0)
      const { rows } = journal.size()
      if (rows > 0) {
        log.info({ notifications: rows }, 'taking up PubSub notifications that a former run left in the journal')
        metrics.adopted.inc({ source: 'journal', transport: 'pubsub' }, rows)
      }
      refill()
      return rows
    },
    /** To be called when there may be room again. */
    refill,
    /** Writes what is left; what SQS accepts after this is sent again by the next start. */
    close(): void {
      flush()
      closed = true
    },
    /** Since when (ms) the journal cannot be written; undefined when it can. */
    get brokenSince() {
      return brokenSince
    },
  }
}

export type JournalIntake = ReturnType<typeof createJournalIntake>

const stampEntry = (entry: JournalEntry): Stamped =>
  stamp(entry.packet, {
    sourceId: entry.sourceId, transport: 'pubsub', channel: entry.channel, number: entry.number, index: entry.index, timeMs: entry.timeMs,
  })
