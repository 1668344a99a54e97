import {
  claimEntries,
  type Effect,
  noteSent,
  type ParkedMessage,
  type Reads,
  type ReplayProgress,
  selectEntries,
  settleEntry,
  type StoreWriter,
} from '../store/index.ts'

/** A message and its queue. */
export type QueuedMessage = ParkedMessage & { readonly queue: string }

/**
 * Sends messages to their queues, in order, each with the ids of its replay and entry. Resolves when SQS has accepted all acceptable
 * messages. Returns the ids of the entries that it will never accept, each with the reason.
 */
export type SendParked = (job: string, messages: readonly QueuedMessage[]) => Promise<ReadonlyMap<string, string>>

/** The name of the queue of a route, and its number of lanes. */
type Target = { readonly queue: string; readonly lanes: number }

export type RunReplayOptions = {
  readonly read: Reads
  readonly commit: StoreWriter['commit']
  readonly send: SendParked
  readonly targetOf: (route: string) => Promise<Target>
  /** How long (ms) to continue. */
  readonly limitMs: number
  readonly sleep: (ms: number) => Promise<unknown>
  readonly now?: () => number
}

const GONE = 'its message no longer exists'

/** Maximum number of entries taken at once. */
const MAX_ROUND_ENTRIES = 100

/** Returns how long (ms) a round of this many messages takes at the rate of its replay. */
export const roundMs = (messages: number, { replay: { rate } }: ReplayProgress): number =>
  Math.ceil((messages * 1_000) / rate)

/** Finds more entries of a replay or, once all are found, takes the next ones to send. Returns undefined if nothing is left to do. */
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
  return counts.waiting > 0 ? claimEntries(id, Math.min(MAX_ROUND_ENTRIES, Math.ceil(rate))) : undefined
}

/** Reads the messages of these entries of a replay, and the reason for each entry without a message. */
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

/** Creates the effects that record that these entries of a replay cannot be sent, and why. */
export const settleFailed = (job: string, failed: ReadonlyMap<string, string>, nowMs: number): Effect[] =>
  [...failed].map(([entry, reason]) => settleEntry({ job, entry, outcome: 'failed', reason }, nowMs))

/**
 * Runs a replay: finds its entries, claims them, sends them. It sends the claimed entries before it claims more, so the next step repeats
 * an interrupted one. Resolves with the number of steps, which the next step must know, or undefined if there is nothing left to do.
 *
 * @param steps the number of steps when this step was requested: if it has changed since, another step does the work. Absent: not known
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
  // The pause of a round counts from here, so it includes the time that the round itself takes.
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

/** A replay without a step for this long (ms) is lost. A step takes less time, and so do most pauses before its redelivery. */
const MAX_IDLE_MS = 5 * 60_000

/**
 * Finds lost replays: of the latest 500, those that still have entries to send but have taken no step for five minutes. @throws StoreError
 */
export async function findLost(read: Reads, nowMs = Date.now()): Promise<string[]> {
  const { items } = await read.replays({ limit: 500 })
  const running = items.filter(({ state }) => state === 'running')
  const all = await Promise.all(running.map(({ id }) => read.replayProgress(id)))
  return all.flatMap((one) =>
    one === null || !one.isOpen || one.isOfRelays || one.atMs > nowMs - MAX_IDLE_MS ? [] : [one.replay.id],
  )
}
