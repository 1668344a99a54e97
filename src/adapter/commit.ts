import type { Failed, Outcomes, Parked } from '../protocol/index.ts'
import { isFinished, parkEntry, parkMessage, readMessage, type Entry, type Message, type SqsRecord } from './message.ts'

/** What the handlers of a whole batch recorded, and what is to be remembered; written in one go. */
export type Commit<Effect> = Outcomes & {
  /** In the order of the batch: message by message, notification by notification. */
  readonly effects: Effect[]
  /**
   * A name → ids of notifications that are finished, which `recall` is asked for by that name. Behind SQS, the name is the id of a message that
   * SQS will hand out again; behind HTTP it covers neighbours in a request of which a part will come again. Add them to what is remembered by
   * that name, and remember them for longer than the notifications may go on being retried.
   */
  readonly done: ReadonlyMap<string, readonly string[]>
}

/**
 * Collects the commit of a batch, once its handlers ran.
 *
 * @param isOneRequest whether all of it comes again while anything of it is left, as a request whose answer is lost may
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

/** What to remember: all finished notifications of each message that will come again and has got further than before. */
function toRemember(messages: readonly Message<unknown>[], isOneRequest: boolean): Map<string, string[]> {
  const done = new Map<string, string[]>()
  const isLeft = (some: readonly Message<unknown>[]) => some.some((message) => !isFinished(message))
  for (const [memory, own] of Map.groupBy(messages, (message) => message.memory)) {
    const finished = own.flatMap(({ entries }) => entries.filter((entry) => entry.finished))
    if (!isLeft(isOneRequest ? messages : own) || finished.every((entry) => entry.remembered)) continue
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

/** A message that SQS itself gave up, as a commit that parks each notification in it but the finished ones. */
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

/** The names of `done` → the keys that were remembered by each. */
export type Recall = (names: readonly string[]) => Promise<ReadonlyMap<string, ReadonlySet<string>>>

/** Longer than a queue with ten attempts goes on retrying (eight and a half minutes), and than the pauses of one whose commits fail. */
const KEEP_MS = 3600_000
/** Messages of which the finished notifications are kept, for an app that gives no `recall`. */
const MOST_MESSAGES = 10_000
/** Characters of message bodies for which effects are kept; a function has 128 MB and more. */
const MOST_CHARACTERS = 16_000_000

/** Keeps a value for a message in this process, for an hour. When all together are larger than `most`, the oldest go. */
function createKept<Value>(now: () => number, most: number) {
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
      // Behind all others, which are then in the order of their ends.
      forget(id)
      kept.set(id, { value, size, untilMs: now() + KEEP_MS })
      total += size
      for (const [oldest, { untilMs }] of kept) {
        if (untilMs > now() && total <= most) break
        forget(oldest)
      }
    },
    forget,
  }
}

/**
 * The options' own, or, where they have no `recall`, one that remembers in this process what was committed. Another environment of the
 * function knows nothing of it, and then runs what was finished once more, with the same ids.
 */
export function createMemory<Effect>(
  { commit, recall }: { readonly commit: (batch: Commit<Effect>) => Promise<void>; readonly recall?: Recall },
  now: () => number,
) {
  if (recall !== undefined) return { commit, recall }
  const kept = createKept<ReadonlySet<string>>(now, MOST_MESSAGES)
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
 * A message of which a part is finished comes again whole. What is finished is remembered under a name (of an SQS message its id, which stays
 * the same through all attempts), so that the next attempt runs only what is left.
 */
export async function recallFinished(messages: readonly Message<unknown>[], recall: Recall): Promise<void> {
  const again = messages.filter((message) => message.isAgain && message.fault === undefined)
  if (again.length === 0) return
  const finished = await recall([...new Set(again.map((message) => message.memory))])
  // A copy in another message of the batch is finished as well.
  const keys = new Set([...finished.values()].flatMap((ids) => [...ids]))
  for (const entry of messages.flatMap((message) => message.entries)) {
    entry.remembered = finished.get(entry.memory)?.has(entry.key) ?? false
    // A notification that a replay sends runs again, whatever its former outcome.
    entry.finished = entry.replay === undefined ? keys.has(entry.key) : entry.remembered
  }
}

/** Notifications of which this process remembers that they are finished: those of some seconds at full speed. */
const MOST_FINISHED = 50_000

/**
 * Remembers in this process which notifications of HTTP requests are finished: the answer may be lost, and the request comes again. For an hour at
 * most, and at no cost.
 */
export function createFinished(now: () => number) {
  const kept = createKept<true>(now, MOST_FINISHED)
  // A replay runs again what was finished before it, and each replay once.
  const nameOf = ({ key, replay }: Entry<unknown>) => (replay === undefined ? key : `${key} ${replay.job}`)
  const entriesOf = (messages: readonly Message<unknown>[]) => messages.flatMap(({ entries }) => entries)
  return {
    restore(messages: readonly Message<unknown>[]): void {
      for (const entry of entriesOf(messages)) entry.finished ||= kept.get(nameOf(entry)) ?? false
    },
    /** After a commit that succeeded. */
    keep(messages: readonly Message<unknown>[]): void {
      for (const entry of entriesOf(messages)) if (entry.finished) kept.set(nameOf(entry), true, 1)
    },
  }
}

type Uncommitted<Effect> = {
  /** What finished notifications recorded, or how they are put aside, by their key. */
  readonly finished: ReadonlyMap<string, { readonly effects: readonly Effect[]; readonly parked: Parked | undefined }>
  /** How a message is put aside that could not be read. */
  readonly parked: Parked | undefined
}

/**
 * Remembers in this process what ran for messages whose commit failed, so that their next delivery commits the recorded effects and does
 * not run handlers or park again. Another environment of the function knows nothing of it and runs everything.
 *
 * Effects are judged when they are applied (a call may have grown stale since), so that committing them late is correct.
 */
export function createUncommitted<Effect>(now: () => number) {
  const kept = createKept<Uncommitted<Effect>>(now, MOST_CHARACTERS)
  return {
    /** Before a batch runs: what finished in an earlier attempt is finished, with its effects. */
    restore(messages: readonly Message<Effect>[]): void {
      const found = messages.flatMap((message) => {
        const own = kept.get(message.messageId)
        return own === undefined ? [] : [{ message, own }]
      })
      // A copy in another message of the batch is finished as well; its effects are committed once.
      const keys = new Set(found.flatMap(({ own }) => [...own.finished.keys()]))
      // A notification that a replay sends runs again.
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
    /** After a commit that failed. */
    keep(messages: readonly Message<Effect>[]): void {
      for (const { messageId, body, entries, parked } of messages) {
        kept.forget(messageId)
        const own = entries.filter((entry) => entry.finished && !entry.remembered)
        if (own.length === 0 && parked === undefined) continue
        const finished = new Map(own.map(({ key, effects, parked }) => [key, { effects, parked }]))
        kept.set(messageId, { finished, parked }, body.length)
      }
    },
    /** After a commit that succeeded. */
    forget(messages: readonly Message<Effect>[]): void {
      for (const { messageId } of messages) kept.forget(messageId)
    },
  }
}
