import {
  claimEntries,
  noteSent,
  selectEntries,
  settleEntry,
  type Effect,
  type ParkedMessage,
  type Reads,
  type StoreWriter,
} from '../store/index.ts'

/**
 * Sends messages to their queues, in order, each with the replay and its entry. Resolves when all are accepted but those that never will be: the ids
 * of their entries, and why.
 */
export type SendParked = (job: string, messages: readonly ParkedMessage[]) => Promise<ReadonlyMap<string, string>>

export type RunReplayOptions = {
  readonly read: Reads
  readonly commit: StoreWriter['commit']
  readonly send: SendParked
  /** How long (ms) to go on. */
  readonly limitMs: number
  readonly sleep: (ms: number) => Promise<unknown>
  readonly now?: () => number
}

const GONE = 'its message is not there any more'

/** Entries that are taken at once. */
const ENTRIES = 100

/**
 * Goes on with a replay: finds its entries, takes them, sends them. What was taken is sent before anything else is, so a step that ended in the
 * middle is repeated by the next one. Resolves with whether there is more to do. @throws StoreError, or what `send` throws
 */
export async function runReplay(job: string, options: RunReplayOptions): Promise<boolean> {
  const { read, commit, send, limitMs, sleep, now = Date.now } = options
  const apply = async (...effects: readonly Effect[]) => commit({ effects, done: new Map() })
  const startMs = now()
  while (now() - startMs < limitMs) {
    const replay = await read.replayProgress(job)
    if (replay === null) return false
    const { place, filter, sending, round, rate, counts, state } = replay
    if (sending.length > 0) {
      const messages = await read.parkedMessages(sending)
      const refused = new Map<string, string>([
        ...sending.map((id) => [id, GONE] as const),
        ...messages.map(({ id }) => [id, ''] as const),
      ])
      for (const [id, reason] of await send(job, messages)) refused.set(id, reason)
      const failed = [...refused].filter(([, reason]) => reason !== '')
      await apply(...failed.map(([id, reason]) => settleEntry(job, id, 'failed', now(), reason)), noteSent(job, round))
      await sleep((messages.length * 1_000) / rate)
    } else if (state === 'stopped') return false
    else if (place !== null) {
      const found = await read.findParked({ ...filter, from: 'functions' }, place)
      await apply(selectEntries(job, place, found.place, found.ids))
    } else if (counts.waiting > 0) await apply(claimEntries(job, Math.min(ENTRIES, Math.ceil(rate))))
    else return false
  }
  return true
}

/** The latest replays that have something to send. @throws StoreError */
export async function findWaiting(read: Reads): Promise<readonly { readonly id: string }[]> {
  const { items } = await read.replays()
  const running = items.filter(({ state }) => state === 'running')
  const all = await Promise.all(running.map(({ id }) => read.replayProgress(id)))
  return all.filter(
    (one) => one !== null && (one.sending.length > 0 || one.place !== null || one.counts.waiting > 0),
  ) as {
    id: string
  }[]
}
