import { describeError, describeStack, type Log } from './adapter-error.ts'
import { runOnce, within, type Budget, type Run } from './attempt.ts'
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
import { parkEntry, parkMessage, toStreamKey, type Entry, type Message } from './message.ts'

type BatchOptions<Effect> = {
  readonly commit: (batch: Commit<Effect>) => Promise<void>
  readonly recall?: Recall
  readonly maxParallel?: number | undefined
  readonly now: () => number
  readonly log: Log
  /** Whether all messages of a batch arrived in one HTTP request. Its response may be lost, and then the whole request is sent again. */
  readonly isOneRequest: boolean
}

/** Handles a batch. Resolves with false if the recall or the commit failed: no outcome is valid then, and the whole batch has to be delivered again. */
export type HandleBatch<Effect> = (
  messages: readonly Message<Effect>[],
  budget: Budget,
  runOf: (route: string) => Run,
) => Promise<boolean>

const MAX_PARALLEL = 100

const FAILED = { recall: 'adapter.recall.failed', run: 'adapter.run.failed', commit: 'adapter.commit.failed' } as const

/** Returns the function with which `fromSqs` and `fromHttp` handle a batch: recalls the finished notifications, runs the others, and commits once. */
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
 * @param runOf returns how to run the function of a route
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
    // Copies share the outcome of the first one, which is redelivered with its own message. On the last attempt of the copy's message, the
    // copy counts as finished: it must not be parked in addition to the first one.
    copy.finished = first.finished || (copy.lastAttempt && !first.lastAttempt)
  }
  logRetries(retries, log)
}

/**
 * Groups the unfinished notifications of a batch into streams, in the order of delivery. A stream has all notifications of one reference and
 * kind, across messages. Further copies of a notification are returned separately, each with its first copy.
 */
function toStreams(messages: readonly Message<unknown>[]) {
  const firsts = new Map<string, Entry<unknown>>()
  const copies: { readonly copy: Entry<unknown>; readonly first: Entry<unknown> }[] = []
  for (const entry of messages.flatMap((message) => message.entries)) {
    if (entry.finished) continue
    // A replayed notification runs in addition to an ordinary copy of it.
    const same = `${entry.replay?.job ?? ''} ${entry.key}`
    const first = firsts.get(same)
    if (first === undefined) firsts.set(same, entry)
    else copies.push({ copy: entry, first })
  }
  return { streams: [...Map.groupBy(firsts.values(), toStreamKey).values()], copies }
}

const HELD =
  'held back: an earlier notification of its reference is still being retried, and this message was on its last attempt'

/**
 * Runs the notifications of one reference in order. After a notification that has to be retried, the later ones are held back: they are neither
 * run nor finished.
 *
 * A notification that is held back on the last attempt of its message is parked. It is then neither lost nor run before the earlier one. This is
 * rare: usually both messages have had the same number of deliveries, so the earlier notification is parked and the later ones run.
 */
async function runStream(stream: readonly Entry<unknown>[], run: Run, retries: Retry[]): Promise<void> {
  let isBlocked = false
  for (const [at, entry] of stream.entries()) {
    if (isBlocked) {
      if (entry.lastAttempt) parkEntry(entry, { reason: HELD, maxAgeMs: run.maxAgeMs })
      continue
    }
    const limitMs = run.budget.handlerMs()
    // On the last attempt, the later notifications have no other time to run, so one that hangs leaves half of the time to them.
    const hasHalf = entry.lastAttempt && at < stream.length - 1
    const outcome = await runOnce(entry, run, hasHalf ? limitMs / 2 : limitMs)
    if (outcome.kind === 'done') {
      entry.finished = true
      continue
    }
    const { reason, status, error } = outcome
    if (outcome.kind === 'retry') retries.push({ entry, reason, error })
    if (outcome.kind === 'park' || entry.lastAttempt) parkEntry(entry, { reason, status, maxAgeMs: run.maxAgeMs })
    else entry.failure = { reason, ...(status === undefined ? {} : { status }) }
    isBlocked = !entry.finished
  }
}

type Retry = { readonly entry: Entry<unknown>; readonly reason: string; readonly error: unknown }

const MAX_LOG_LINES = 10

/** Logs one line for each type and reason, with the id of the first notification: in an outage, all fail for the same reason. */
function logRetries(retries: readonly Retry[], log: Log): void {
  const all = [...Map.groupBy(retries, ({ entry, reason }) => `${entry.notification.type} ${reason}`).values()]
  for (const same of all.slice(0, MAX_LOG_LINES)) {
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
  if (all.length > MAX_LOG_LINES)
    log({
      level: 'warn',
      code: 'adapter.handler.failed_more',
      message: 'the handler failed for other reasons as well',
      reasons: all.length - MAX_LOG_LINES,
    })
}
