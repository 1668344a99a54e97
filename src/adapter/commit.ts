import type { Failed, Outcomes, Parked } from '../protocol/index.ts'
import { isFinished, parkEntry, parkMessage, readMessage, type Entry, type Message, type SqsRecord } from './message.ts'

/** Everything that a batch writes, in one go: recorded effects, outcomes, and finished notifications to remember. */
export type Commit<Effect> = Outcomes & {
  /** In the order of the batch: message by message, notification by notification. */
  readonly effects: Effect[]
  /**
   * Name → keys of finished notifications. `recall` asks for them by this name. Behind SQS, the name is the id of a message that SQS will deliver
   * again. Behind HTTP, it stands for neighbouring notifications of a request of which a part will be sent again. Add the keys to those already
   * remembered under the name, and remember them for longer than the notifications may be retried.
   */
  readonly done: ReadonlyMap<string, readonly string[]>
}

/**
 * Collects the commit of a batch after its handlers ran.
 *
 * @param isOneRequest whether the whole batch is delivered again if any part of it is unfinished, like an HTTP request whose response is lost
 */
export function toCommit<Effect>(messages: readonly Message<Effect>[], isOneRequest = false): Commit<Effect> {
  const entries = messages.flatMap((message) => message.entries)
  return {
    effects: entries.flatMap((entry) => entry.effects),
    done: toRemember(messages, isOneRequest),
    parked: [...messages, ...entries].flatMap(({ parked }) => parked ?? []),
    failed: messages.flatMap(toFailed),
    replayed: messages.filter(isFinished).flatMap(({ messageId, replay, parked, entries: own }) => {
      const hasFailed = parked !== undefined || own.some((entry) => entry.parked !== undefined)
      return replay === undefined ? [] : [{ ...replay, hasFailed, messageId }]
    }),
  }
}

export const isEmpty = ({ effects, done, parked, failed, replayed }: Commit<unknown>): boolean =>
  effects.length + done.size + parked.length + failed.length + replayed.length === 0

/** Returns the finished notifications of each message that will be delivered again and has made progress. */
function toRemember(messages: readonly Message<unknown>[], isOneRequest: boolean): Map<string, string[]> {
  const done = new Map<string, string[]>()
  const hasUnfinished = (some: readonly Message<unknown>[]) => some.some((message) => !isFinished(message))
  for (const [memory, own] of Map.groupBy(messages, (message) => message.memory)) {
    const finished = own.flatMap(({ entries }) => entries.filter((entry) => entry.finished))
    if (!hasUnfinished(isOneRequest ? messages : own) || finished.every((entry) => entry.remembered)) continue
    done.set(
      memory,
      finished.map((entry) => entry.key),
    )
  }
  return done
}

function toFailed({ messageId, attempt, entries }: Message<unknown>): Failed[] {
  const failed = entries.flatMap(({ key, failure }) => (failure === undefined ? [] : [{ key, ...failure }]))
  return [...Map.groupBy(failed, ({ status, reason }) => `${status} ${reason}`).values()].map((own) => {
    const [{ key: _, ...failure }] = own as [(typeof failed)[number]]
    return { messageId, attempt, ...failure, keys: own.map(({ key }) => key) }
  })
}

/** Reads a message of a dead-letter queue. Returns a commit that parks its notifications, except for finished ones. */
export async function parkWhole(
  record: SqsRecord,
  reason: string,
  about: {
    readonly route: string
    readonly status?: number
    readonly maxAgeMs?: number | undefined
    readonly finished: ReadonlySet<string>
  },
): Promise<Commit<never>> {
  const message = await readMessage<never>(record, 1, about.route)
  for (const entry of message.entries)
    if (about.finished.has(entry.key)) entry.finished = true
    else parkEntry(entry, { reason, status: about.status, maxAgeMs: about.maxAgeMs })
  if (message.fault !== undefined) parkMessage(message, `${reason}; ${message.fault}`)
  return toCommit([message])
}

/** Returns the keys that were remembered under each of these names: the keys that `Commit.done` had for the name. */
export type Recall = (names: readonly string[]) => Promise<ReadonlyMap<string, ReadonlySet<string>>>

/** How long (ms) values are kept: longer than ten attempts of a queue (eight and a half minutes), and than the pauses while commits fail. */
const KEEP_MS = 3600_000
/** The number of messages whose finished notifications are remembered in this process, for an app without `recall`. */
const MAX_MESSAGES = 10_000
/** The total length of the message bodies whose effects are kept. A function has at least 128 MB of memory. */
const MAX_CHARACTERS = 16_000_000

/** Keeps values in this process for an hour, by id. Removes the oldest values when their total size exceeds `maxSize`. */
function createExpiringMap<Value>(now: () => number, maxSize: number) {
  const kept = new Map<string, { readonly value: Value; readonly size: number; readonly untilMs: number }>()
  let total = 0
  const forget = (id: string): void => {
    total -= kept.get(id)?.size ?? 0
    kept.delete(id)
  }
  return {
    get(id: string): Value | undefined {
      const one = kept.get(id)
      return one !== undefined && one.untilMs > now() ? one.value : undefined
    },
    set(id: string, value: Value, size: number): void {
      // Set again at the end of the map, so that entries stay in the order in which they expire.
      forget(id)
      kept.set(id, { value, size, untilMs: now() + KEEP_MS })
      total += size
      for (const [oldest, { untilMs }] of kept) {
        if (untilMs > now() && total <= maxSize) break
        forget(oldest)
      }
    },
    forget,
  }
}

/**
 * Returns `commit` and `recall` of the options. Without `recall`, finished notifications are remembered in this process only. Another environment
 * of the function does not know them, and runs them once more, with the same ids.
 */
export function createMemory<Effect>(
  { commit, recall }: { readonly commit: (batch: Commit<Effect>) => Promise<void>; readonly recall?: Recall },
  now: () => number,
) {
  if (recall !== undefined) return { commit, recall }
  const kept = createExpiringMap<ReadonlySet<string>>(now, MAX_MESSAGES)
  return {
    recall: ((messageIds) =>
      Promise.resolve(new Map(messageIds.map((id) => [id, kept.get(id) ?? new Set<string>()])))) satisfies Recall,
    commit: async (batch: Commit<Effect>): Promise<void> => {
      if (!isEmpty({ ...batch, done: new Map() })) await commit(batch)
      for (const [message, ids] of batch.done) kept.set(message, new Set(ids), 1)
    },
  }
}

/**
 * Marks the notifications that an earlier delivery finished, so that only the others run: SQS delivers the whole message again even if a part of
 * it is finished. Finished notifications are remembered under a name, for an SQS message its id, which is the same on each attempt.
 */
export async function recallFinished(messages: readonly Message<unknown>[], recall: Recall): Promise<void> {
  const again = messages.filter((message) => message.isRedelivery && message.fault === undefined)
  if (again.length === 0) return
  const finished = await recall([...new Set(again.map((message) => message.memory))])
  // A copy in another message of the batch is finished too.
  const keys = new Set([...finished.values()].flatMap((ids) => [...ids]))
  for (const entry of messages.flatMap((message) => message.entries)) {
    entry.remembered = finished.get(entry.memory)?.has(entry.key) ?? false
    // A replayed notification runs again, regardless of its former outcome.
    entry.finished = entry.replay === undefined ? keys.has(entry.key) : entry.remembered
  }
}

/** The number of finished notifications of HTTP requests that are remembered: those of several seconds at full throughput. */
const MAX_FINISHED = 50_000

/**
 * Remembers in this process, for up to an hour, which notifications of HTTP requests are finished: if the response is lost, the request is sent
 * again. This needs no command in the read model.
 */
export function createFinished(now: () => number) {
  const kept = createExpiringMap<true>(now, MAX_FINISHED)
  // A replay runs notifications that were finished before it, so its id is part of the name. Each replay runs them once.
  const nameOf = ({ key, replay }: Entry<unknown>) => (replay === undefined ? key : `${key} ${replay.job}`)
  const entriesOf = (messages: readonly Message<unknown>[]) => messages.flatMap(({ entries }) => entries)
  return {
    restore(messages: readonly Message<unknown>[]): void {
      for (const entry of entriesOf(messages)) entry.finished ||= kept.get(nameOf(entry)) ?? false
    },
    /** To be called after a successful commit. */
    keep(messages: readonly Message<unknown>[]): void {
      for (const entry of entriesOf(messages)) if (entry.finished) kept.set(nameOf(entry), true, 1)
    },
  }
}

type Uncommitted<Effect> = {
  /** The effects or the parked entries of finished notifications, by key. */
  readonly finished: ReadonlyMap<string, { readonly effects: readonly Effect[]; readonly parked: Parked | undefined }>
  /** The parked entry of a message that could not be read. */
  readonly parked: Parked | undefined
}

/**
 * Remembers in this process the results of messages whose commit failed. Their next delivery commits the recorded effects without running
 * handlers or parking again. Another environment of the function does not know them and runs everything.
 *
 * Late commits are correct, because effects are judged when they are applied: a call may have become stale meanwhile.
 */
export function createUncommitted<Effect>(now: () => number) {
  const kept = createExpiringMap<Uncommitted<Effect>>(now, MAX_CHARACTERS)
  return {
    /** To be called before a batch runs: marks notifications that an earlier attempt finished, and restores their effects. */
    restore(messages: readonly Message<Effect>[]): void {
      const found = messages.flatMap((message) => {
        const own = kept.get(message.messageId)
        return own === undefined ? [] : [{ message, own }]
      })
      // A copy in another message of the batch is finished too. The effects are committed once.
      const keys = new Set(found.flatMap(({ own }) => [...own.finished.keys()]))
      // A replayed notification runs again.
      for (const entry of messages.flatMap((message) => message.entries))
        if (entry.replay === undefined) entry.finished ||= keys.has(entry.key)
      for (const { message, own } of found) {
        if (own.parked !== undefined) message.parked = own.parked
        for (const entry of message.entries) {
          const former = entry.remembered ? undefined : own.finished.get(entry.key)
          if (former === undefined) continue
          entry.finished = true
          entry.effects.push(...former.effects)
          if (former.parked !== undefined) entry.parked = former.parked
        }
      }
    },
    /** To be called after a failed commit. */
    keep(messages: readonly Message<Effect>[]): void {
      for (const { messageId, body, entries, parked } of messages) {
        kept.forget(messageId)
        const own = entries.filter((entry) => entry.finished && !entry.remembered)
        if (own.length === 0 && parked === undefined) continue
        const finished = new Map(own.map((entry) => [entry.key, { effects: entry.effects, parked: entry.parked }]))
        kept.set(messageId, { finished, parked }, body.length)
      }
    },
    /** To be called after a successful commit. */
    forget(messages: readonly Message<Effect>[]): void {
      for (const { messageId } of messages) kept.forget(messageId)
    },
  }
}
