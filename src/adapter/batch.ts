import { describeError, describeStack, type Log } from './adapter-error.ts'
import { attempt, within, type Budget, type Run } from './attempt.ts'
import {
  createFinished,
  createMemory,
  createUncommitted,
  isEmpty,
  recallFinished,
  toCommit,
  type Commit,
  type Recall,
} from './commit.ts'
import { parkEntry, parkMessage, toOrder, type Entry, type Message } from './message.ts'

type BatchOptions<Effect> = {
  readonly commit: (batch: Commit<Effect>) => Promise<void>
  readonly recall?: Recall
  readonly maxParallel?: number | undefined
  readonly now: () => number
  readonly log: Log
  /** All messages of a batch came in one HTTP request, which may come again whole although it was answered. */
  readonly isOneRequest: boolean
}

/** Handles a batch. Resolves with whether what was done counts: it does not when it could not be looked up or written, and then all of it has to come again. */
export type HandleBatch<Effect> = (
  messages: readonly Message<Effect>[],
  budget: Budget,
  runOf: (route: string) => Run,
) => Promise<boolean>

const MAX_PARALLEL = 100

const FAILED = { recall: 'adapter.recall.failed', run: 'adapter.run.failed', commit: 'adapter.commit.failed' } as const

/** What `fromSqs` and `fromHttp` share: recalls what is finished of a batch, runs the rest, and commits in one go. */
export function createBatches<Effect>(options: BatchOptions<Effect>): HandleBatch<Effect> {
  const { maxParallel = MAX_PARALLEL, isOneRequest, now, log } = options
  const { commit, recall } = createMemory(options, now)
  const uncommitted = createUncommitted<Effect>(now)
  const finished = isOneRequest ? createFinished(now) : undefined
  return async (messages, budget, runOf) => {
    let step: keyof typeof FAILED = 'recall'
    try {
      await within(budget.commitMs(), () => recallFinished(messages, recall))
      finished?.restore(messages)
      uncommitted.restore(messages)
      step = 'run'
      await runBatch(messages, runOf, { maxParallel, log })
      step = 'commit'
      const batch = toCommit(messages, isOneRequest)
      if (!isEmpty(batch)) await within(budget.commitMs(), () => commit(batch))
      uncommitted.forget(messages)
      finished?.keep(messages)
      for (const { messageId, notification, handler, attempts, reason } of batch.parked)
        log({
          level: 'warn',
          code: 'adapter.park.parked',
          message: 'the notification was parked',
          messageId,
          id: notification?.id,
          handler,
          attempts,
          reason,
        })
      return true
    } catch (error) {
      if (step === 'commit') uncommitted.keep(messages)
      log({
        level: 'error',
        code: FAILED[step],
        message: `the batch failed at the step ${step}; the whole batch will be delivered again`,
        messages: messages.length,
        error: describeError(error),
      })
      return false
    }
  }
}

/**
 * Runs the unfinished notifications of a batch, `maxParallel` references at once, and parks the messages that could not be read.
 *
 * @param runOf returns the function of a route, and how to run it
 */
export async function runBatch(
  messages: readonly Message<unknown>[],
  runOf: (route: string) => Run,
  { maxParallel, log }: { readonly maxParallel: number; readonly log: Log },
): Promise<void> {
  const { streams, copies } = toStreams(messages)
  for (const message of messages) if (message.fault !== undefined && message.parked === undefined) parkMessage(message)
  const retries: Retry[] = []
  const waiting = streams.values()
  const work = async () => {
    for (const stream of waiting) await runStream(stream, runOf((stream[0] as Entry<unknown>).route), retries)
  }
  await Promise.all(Array.from({ length: Math.min(Math.max(1, maxParallel), streams.length) }, work))
  for (const { copy, first } of copies) {
    // Copies share the outcome of the one that ran. The first one comes again with its own message; on its last attempt the copy need
    // not, and must not be parked beside it.
    copy.finished = first.finished || (copy.lastAttempt && !first.lastAttempt)
  }
  logRetries(retries, log)
}

/**
 * Sorts the unfinished notifications of a batch in the order in which they were delivered: into streams, each of one reference of one type
 * and sub_type over all messages, and second and later appearances of a notification, each with its first.
 */
function toStreams(messages: readonly Message<unknown>[]) {
  const firsts = new Map<string, Entry<unknown>>()
  const copies: { readonly copy: Entry<unknown>; readonly first: Entry<unknown> }[] = []
  for (const entry of messages.flatMap((message) => message.entries)) {
    if (entry.finished) continue
    // A notification that a replay sends runs also beside a copy of it.
    const same = `${entry.replay?.job ?? ''} ${entry.key}`
    const first = firsts.get(same)
    if (first === undefined) firsts.set(same, entry)
    else copies.push({ copy: entry, first })
  }
  return { streams: [...Map.groupBy(firsts.values(), toOrder).values()], copies }
}

const HELD =
  'held back: an earlier notification of its reference is still being retried, and this message was on its last attempt'

/**
 * Runs one reference, in order. Behind one that is to be retried, the rest is held back: it is not run and not finished.
 *
 * A message that is held back on its last attempt would be moved to the dead-letter queue whole, so what is held back in it is
 * parked alone: it is neither lost, nor run before the earlier one. That is rare: mostly the earlier one's message was handed out
 * as often, so the earlier one is parked and the rest runs.
 */
async function runStream(stream: readonly Entry<unknown>[], run: Run, retries: Retry[]): Promise<void> {
  let blocked = false
  for (const [at, entry] of stream.entries()) {
    if (blocked) {
      if (entry.lastAttempt) parkEntry(entry, { reason: HELD, maxAgeMs: run.maxAgeMs })
      continue
    }
    const limitMs = run.budget.handlerMs()
    // There is no other time for those behind it: one that hangs leaves them half of it.
    const hasHalf = entry.lastAttempt && at < stream.length - 1
    const outcome = await attempt(entry, run, hasHalf ? limitMs / 2 : limitMs)
    if (outcome.kind === 'done') {
      entry.finished = true
      continue
    }
    const { reason, status, error } = outcome
    if (outcome.kind === 'retry') retries.push({ entry, reason, error })
    if (outcome.kind === 'park' || entry.lastAttempt) parkEntry(entry, { reason, status, maxAgeMs: run.maxAgeMs })
    else entry.failure = { reason, ...(status === undefined ? {} : { status }) }
    blocked = !entry.finished
  }
}

type Retry = { readonly entry: Entry<unknown>; readonly reason: string; readonly error: unknown }

const MOST_LINES = 10

/** Logs one line for each type and reason, with the first notification that had it: in an outage all fail for the same reason. */
function logRetries(retries: readonly Retry[], log: Log): void {
  const all = [...Map.groupBy(retries, ({ entry, reason }) => `${entry.notification.type} ${reason}`).values()]
  for (const same of all.slice(0, MOST_LINES)) {
    const [{ entry, reason, error }] = same as [Retry]
    log({
      level: 'warn',
      code: 'adapter.handler.failed',
      message: 'the handler failed; these notifications will be delivered again',
      count: same.length,
      reason,
      attempt: entry.attempt,
      type: entry.notification.type,
      firstId: entry.notification.id,
      stack: describeStack(error),
    })
  }
  if (all.length > MOST_LINES)
    log({
      level: 'warn',
      code: 'adapter.handler.failed_more',
      message: 'the handler failed for other reasons as well',
      reasons: all.length - MOST_LINES,
    })
}
