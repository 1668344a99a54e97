import type { Outcomes } from '../protocol/index.ts'
import {
  claimEntries,
  noteSent,
  selectEntries,
  type Effect,
  type ParkedMessage,
  type Reads,
  type StoreWriter,
} from '../store/index.ts'

/** Sends messages to the queue of their route, in order, each with the replay and its entry. Resolves when all are accepted. */
export type SendParked = (job: string, messages: readonly ParkedMessage[]) => Promise<void>

export type RunReplayOptions = {
  readonly read: Reads
  readonly commit: StoreWriter['commit']
  readonly send: SendParked
  /** How long (ms) to go on. */
  readonly limitMs: number
  readonly sleep: (ms: number) => Promise<unknown>
  readonly now?: () => number
}

/** Entries that are taken at once. */
const ENTRIES = 100

/**
 * Goes on with a replay: finds its entries, takes them, sends them. What was taken is sent before anything else is, so a step that ended in the
 * middle is repeated by the next one. Resolves with whether there is more to do. @throws StoreError, or what `send` throws
 */
export async function runReplay(job: string, options: RunReplayOptions): Promise<boolean> {
  const { read, commit, send, limitMs, sleep, now = Date.now } = options
  const apply = async (effect: Effect, replayed: Outcomes['replayed'] = []) =>
    commit({ effects: [effect], replayed, done: new Map() })
  const startMs = now()
  while (now() - startMs < limitMs) {
    const replay = await read.replayProgress(job)
    if (replay === null) return false
    const { place, filter, sending, round, rate, counts, state } = replay
    if (sending.length > 0) {
      const messages = await read.parkedMessages(sending)
      await send(job, messages)
      const found = new Set(messages.map(({ id }) => id))
      // One that is gone in between has no function that would say what became of it.
      const gone = sending.filter((id) => !found.has(id)).map((entry) => ({ job, entry, hasFailed: true }))
      await apply(noteSent(job, round), gone)
      await sleep((messages.length * 1_000) / rate)
    } else if (state === 'stopped') return false
    else if (place !== null) {
      const found = await read.findParked({ ...filter, from: 'functions' }, place)
      await apply(selectEntries(job, place, found.place, found.ids))
    } else if (counts.waiting > 0) await apply(claimEntries(job, Math.max(1, Math.min(ENTRIES, rate))))
    else return false
  }
  return true
}
