import { describeError, type Log } from './adapter-error.ts'
import { within, type Budget, type Run } from './attempt.ts'
import { isEmpty, toCommit, type Commit } from './commit.ts'
import { createFinished, createMemory, createUncommitted, recallFinished, type Recall } from './memory.ts'
import type { Message } from './message.ts'
import { runBatch } from './streams.ts'

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
