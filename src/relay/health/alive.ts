import { sleep, type Logger } from '../../runtime/index.ts'
import type { Item } from '../item.ts'
import { formatNotice, stampNotice } from '../notification/notice.ts'
import { ownIndex } from '../redis/numbers.ts'
import { toItem } from '../notification/stamp.ts'

export type AliveOptions = {
  readonly relayId: string
  /** Of the sources; the first one gives the number. */
  readonly sourceIds: readonly string[]
  readonly startedMs: number
  /** How often (ms) it reports. The alarm waits for five minutes. */
  readonly everyMs: number
  readonly isReady: () => Promise<boolean>
  /** Makes a number that nothing else of the first source has. @throws what Redis answers */
  readonly nextNumber: () => Promise<number>
  /** Puts it in the lane of its route. */
  readonly push: (item: Item) => void
  readonly log: Logger
  readonly now: () => number
}

/** How soon (ms) it checks again while the relay is not ready. */
const LOOK_MS = 1_000

/**
 * Reports through SQS that the relay is running, while it is ready: by the way of notifications, so that whatever stops those stops this.
 * It is not journalled, since a late report is worth nothing. The next report waits until SQS has accepted the last one.
 */
export async function reportAlive(options: AliveOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const isReported = (await options.isReady()) && !signal.aborted && (await report(options, signal))
    await sleep(isReported ? options.everyMs : LOOK_MS, signal)
  }
}

/** Resolves when SQS has accepted the report, or the relay ends; with false when Redis gave no number. */
async function report(
  { relayId, sourceIds, startedMs, nextNumber, push, log, now }: AliveOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const number = await nextNumber().catch(() => undefined)
  if (number === undefined || signal.aborted) return false
  const payload = { relay: relayId, sources: [...sourceIds], started: new Date(startedMs).toISOString() }
  const stamped = stampNotice(formatNotice({ subType: 'alive', payload }), {
    sourceId: sourceIds[0] ?? '',
    number,
    index: ownIndex(relayId),
    timeMs: now(),
  })
  const { promise, resolve } = Promise.withResolvers<void>()
  const end = () => resolve()
  signal.addEventListener('abort', end)
  try {
    const park = (_item: Item, reason: string, detail: string): Promise<void> => {
      log.warn({ code: 'relay.alive.rejected', reason, detail }, 'SQS rejected the liveness message')
      resolve()
      return Promise.resolve()
    }
    push(toItem(stamped, { settle: end, park }, 0))
    await promise
    return true
  } finally {
    // Otherwise one more listener would stay each minute.
    signal.removeEventListener('abort', end)
  }
}
