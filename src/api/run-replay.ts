import {
  claimEntries,
  noteSent,
  selectEntries,
  settleEntry,
  type Effect,
  type ParkedMessage,
  type Reads,
  type ReplayProgress,
  type StoreWriter,
} from '../store/index.ts'

/** A message with the queue that it goes to. */
export type QueuedMessage = ParkedMessage & { readonly queue: string }

/**
 * Sends messages to their queues, in order, each with the replay and its entry. Resolves when all are accepted but those that never will be: the ids
 * of their entries, and why.
 */
export type SendParked = (job: string, messages: readonly QueuedMessage[]) => Promise<ReadonlyMap<string, string>>

/** The name of the queue of a route, and how many lanes it has. */
type Target = { readonly queue: string; readonly lanes: number }

export type RunReplayOptions = {
  readonly read: Reads
  readonly commit: StoreWriter['commit']
  readonly send: SendParked
  readonly targetOf: (route: string) => Promise<Target>
  /** How long (ms) to go on. */
  readonly limitMs: number
  readonly sleep: (ms: number) => Promise<unknown>
  readonly now?: () => number
}

const GONE = 'its message no longer exists'

/** Entries that are taken at once. */
const ENTRIES = 100

/** The time (ms) that a round of so many messages takes at the rate of its replay. */
export const roundMs = (messages: number, { replay: { rate } }: ReplayProgress): number =>
  Math.ceil((messages * 1_000) / rate)

/** Finds more entries of a replay, or takes the next ones to be sent, unless there are some. Returns undefined when there is nothing left of either. */
export async function advance(progress: ReplayProgress, read: Reads): Promise<Effect | undefined> {
  const { filter, cdrs, place } = progress
  const { id, rate, counts, created_at: createdAt } = progress.replay
  if (place !== null) {
    const found =
      cdrs === null
        ? await read.findParked({ ...filter, from: 'functions' }, place)
        : await read.findCdrs({ ...cdrs, keptUntilMs: Date.parse(createdAt) }, place)
    return selectEntries(id, place, found.place, found.ids)
  }
  return counts.waiting > 0 ? claimEntries(id, Math.min(ENTRIES, Math.ceil(rate))) : undefined
}

/** The messages of these entries of a replay, and why there is none of the others. */
export async function readRound(
  { replay: { id }, cdrs }: ReplayProgress,
  entries: readonly string[],
  { read, targetOf }: { readonly read: Reads; readonly targetOf: (route: string) => Promise<Omit<Target, 'queue'>> },
) {
  const messages =
    cdrs === null
      ? await read.parkedMessages(entries, id)
      : await read.cdrMessages(entries, { route: cdrs.route, ...(await targetOf(cdrs.route)) })
  const found = new Set(messages.map((message) => message.id))
  return { messages, gone: new Map(entries.flatMap((entry) => (found.has(entry) ? [] : [[entry, GONE] as const]))) }
}

/** Notes that these entries of a replay cannot be sent, and why. */
export const settleFailed = (job: string, failed: ReadonlyMap<string, string>, nowMs: number): Effect[] =>
  [...failed].map(([entry, reason]) => settleEntry({ job, entry, outcome: 'failed', reason }, nowMs))

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
  let fromMs = startMs
  for (let isFirst = true; ; isFirst = false) {
    const progress = await read.replayProgress(job)
    if (progress === null || (isFirst && steps !== undefined && progress.steps !== steps)) return undefined
    if (!isFirst && now() - startMs >= limitMs) return progress.steps
    const { sending, round } = progress
    if (sending.length > 0) {
      const { messages, gone } = await readRound(progress, sending, { read, targetOf })
      const queued = await Promise.all(
        messages.map(async (message) => ({
          ...message,
          queue: message.queue ?? (await targetOf(message.route)).queue,
        })),
      )
      const failed = new Map([...gone, ...(await send(job, queued))])
      await apply(...settleFailed(job, failed, now()), noteSent(job, round))
      await sleep(Math.max(0, fromMs + roundMs(messages.length, progress) - now()))
      fromMs = now()
    } else if (progress.replay.state === 'stopped') return undefined
    else {
      const effect = await advance(progress, read)
      if (effect === undefined) return undefined
      await apply(effect)
    }
  }
}

/** Longer than a step takes, and than most pauses before it is repeated. */
const LOST_MS = 5 * 60_000

/** Of the latest 500 replays those that have something to send and have not gone on for five minutes: their step was lost. @throws StoreError */
export async function findLost(read: Reads, nowMs = Date.now()): Promise<string[]> {
  const { items } = await read.replays({ limit: 500 })
  const running = items.filter(({ state }) => state === 'running')
  const all = await Promise.all(running.map(({ id }) => read.replayProgress(id)))
  return all.flatMap((one) =>
    one === null || !one.isOpen || one.isOfRelays || one.atMs > nowMs - LOST_MS ? [] : [one.replay.id],
  )
}
