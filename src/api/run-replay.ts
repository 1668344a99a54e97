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
  /** The name of the queue of a route, and how many lanes it has. */
  readonly targetOf: (route: string) => Promise<{ readonly queue: string; readonly lanes: number }>
  /** How long (ms) to go on. */
  readonly limitMs: number
  readonly sleep: (ms: number) => Promise<unknown>
  readonly now?: () => number
}

const GONE = 'its message is not there any more'

/** Entries that are taken at once. */
const ENTRIES = 100

/**
 * Goes on with a replay: finds its entries, claims them, sends them. Claimed entries are sent before others are claimed, so the next step repeats
 * one that ended in the middle. Resolves with the number that the next step has to know; undefined when there is nothing more to do.
 *
 * @param steps how often the replay had gone on when this step was asked for: when it has since, another step does. Absent: not known
 * @throws StoreError, or what `send` throws
 */
export async function runReplay(
  job: string,
  steps: number | undefined,
  options: RunReplayOptions,
): Promise<number | undefined> {
  const { read, commit, send, targetOf, limitMs, sleep, now = Date.now } = options
  const apply = async (...effects: readonly Effect[]) => commit({ effects, done: new Map() })
  const startMs = now()
  // From when the pause of a round counts: what else it takes is part of it.
  let roundMs = startMs
  for (let isFirst = true; ; isFirst = false) {
    const progress = await read.replayProgress(job)
    if (progress === null || (isFirst && steps !== undefined && progress.steps !== steps)) return undefined
    if (!isFirst && now() - startMs >= limitMs) return progress.steps
    const { filter, cdrs, place, sending, round } = progress
    const { rate, counts, state } = progress.replay
    if (sending.length > 0) {
      const messages =
        cdrs === null
          ? await read.parkedMessages(sending, job)
          : await read.cdrMessages(sending, await targetOf(cdrs.route))
      const refused = new Map<string, string>([
        ...sending.map((id) => [id, GONE] as const),
        ...messages.map(({ id }) => [id, ''] as const),
      ])
      for (const [id, reason] of await send(job, messages)) refused.set(id, reason)
      const failed = [...refused].filter(([, reason]) => reason !== '')
      await apply(
        ...failed.map(([id, reason]) => settleEntry({ job, entry: id, outcome: 'failed', reason }, now())),
        noteSent(job, round),
      )
      await sleep(Math.max(0, roundMs + (messages.length * 1_000) / rate - now()))
      roundMs = now()
    } else if (state === 'stopped') return undefined
    else if (place !== null) {
      const found =
        cdrs === null
          ? await read.findParked({ ...filter, from: 'functions' }, place)
          : await read.findCdrs({ ...cdrs, keptUntilMs: Date.parse(progress.replay.created_at) }, place)
      await apply(selectEntries(job, place, found.place, found.ids))
    } else if (counts.waiting > 0) await apply(claimEntries(job, Math.min(ENTRIES, Math.ceil(rate))))
    else return undefined
  }
}

/** Longer than a step takes, and than most pauses before it is repeated. */
const LOST_MS = 5 * 60_000

/** Of the latest 500 replays those that have something to send and have not gone on for five minutes: their step was lost. @throws StoreError */
export async function findLost(read: Reads, nowMs = Date.now()): Promise<string[]> {
  const { items } = await read.replays({ limit: 500 })
  const running = items.filter(({ state }) => state === 'running')
  const all = await Promise.all(running.map(({ id }) => read.replayProgress(id)))
  return all.flatMap((one) => {
    if (one === null || one.atMs > nowMs - LOST_MS) return []
    return one.sending.length > 0 || one.place !== null || one.replay.counts.waiting > 0 ? [one.replay.id] : []
  })
}
