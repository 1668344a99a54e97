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
  /** How often (ms) it is said. The alarm waits for five minutes. */
  readonly everyMs: number
  readonly isReady: () => Promise<boolean>
  /** Makes a number that nothing else of the first source has. @throws what Redis answers */
  readonly nextNumber: () => Promise<number>
  /** Puts it in the lane of its route. */
  readonly push: (item: Item) => void
  readonly log: Logger
  readonly now: () => number
}

/** So soon (ms) is it looked again while the relay is not ready. */
const LOOK_MS = 1_000

/**
 * Says in the cloud that the relay lives, as long as it is ready: by the very way that notifications take, so that whatever stops
 * those stops this. It is not journalled: one that was not sent is worth nothing later. None is said before the last was accepted.
 */
export async function sayAlive(options: AliveOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const isSaid = (await options.isReady()) && !signal.aborted && (await say(options, signal))
    await sleep(isSaid ? options.everyMs : LOOK_MS, signal)
  }
}

/** Resolves when SQS has it, or the relay ends; with false when Redis gave no number. */
async function say(
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
    // One a minute would stay for as long as the relay runs.
    signal.removeEventListener('abort', end)
  }
}
