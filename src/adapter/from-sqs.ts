import { createBudget } from './budget.ts'
import type { App } from './delivery.ts'
import { AdapterError, describeError } from './errors.ts'
import { createFailures } from './failures.ts'
import { logToConsole } from './log.ts'
import { recallFinished } from './memory.ts'
import { isEmpty, toCommit } from './commit.ts'
import { isFinished, readMessage, type Message } from './message.ts'
import type { FromSqsOptions } from './options.ts'
import { createOwnMemory } from './own-memory.ts'
import { parkMessage } from './park.ts'
import { postponeFailed } from './postpone.ts'
import { keepErrorsQuiet } from './quiet-errors.ts'
import { runStream, type Run } from './run-stream.ts'
import type { LambdaContext, SqsBatchResponse, SqsEvent } from './sqs-event.ts'
import { createUncommitted, type Uncommitted } from './uncommitted.ts'
import { runParallel, settleCopies, toStreams } from './streams.ts'
import { within } from './within.ts'

const MAX_PARALLEL = 100

/** As most routes of the table have it. */
const MAX_RECEIVE_COUNT = 10

/**
 * A Lambda handler that runs a Hono app on the notifications of an SQS batch: one request each, `POST /agents/call/1002`, each
 * reference in order and all references at once. 2xx is done; 408, 425, 429, 5xx, an error and a timeout are retried; any other
 * answer is parked at once, and on the last attempt so is what would be retried. What handlers recorded and what is parked is
 * committed in one go before the outcomes are reported.
 *
 * @example
 * const app = new Hono<AdapterEnv<Effect>>()
 * app.post('/agents/status/:ref?', async (c) => {
 *   record(c, agentStatus(await event(c, AgentStatus)))
 *   return c.body(null, 204)
 * })
 * export const handler = fromSqs(app, { commit, recall, postpone, maxReceiveCount: 10 })
 */
export function fromSqs<Effect>(app: App, options: FromSqsOptions<Effect>) {
  const { maxReceiveCount = MAX_RECEIVE_COUNT, postpone, maxAgeMs, now = Date.now, log = logToConsole, check } = options
  const memory = { ...createMemory(options, now), uncommitted: createUncommitted<Effect>(now) }
  keepErrorsQuiet(app)
  return async (event: SqsEvent, context?: LambdaContext): Promise<SqsBatchResponse> => {
    if (!Array.isArray(event.Records))
      throw new AdapterError(
        'adapter.event.not_sqs',
        'the event has no Records, so it is not from SQS: invoke the function through its event source mapping',
      )
    const budget = createBudget(context, options.timeoutMs)
    const run: Run = { app, budget, failures: createFailures(log), maxAgeMs, now, log, check }
    const messages = await Promise.all(
      event.Records.map((record) => readMessage<Effect>(record, maxReceiveCount, options.route)),
    )
    const counts = await handleBatch(messages, run, memory, options.maxParallel ?? MAX_PARALLEL)
    const failed = counts ? messages.filter((message) => !isFinished(message)) : messages
    await postponeFailed(failed, {
      postpone,
      longestDelaySeconds: counts ? options.longestDelaySeconds : options.longestOutageDelaySeconds,
      limitMs: budget.reportMs,
      log,
    })
    return { batchItemFailures: failed.map(({ record }) => ({ itemIdentifier: record.messageId })) }
  }
}

type Memory<Effect> = Required<Pick<FromSqsOptions<Effect>, 'commit' | 'recall'>>
type Memories<Effect> = Memory<Effect> & { readonly uncommitted: Uncommitted<Effect> }

/** The options' own, or, where they have no `recall`, one that remembers in this process what was committed. */
function createMemory<Effect>({ commit, recall }: FromSqsOptions<Effect>, now: () => number): Memory<Effect> {
  if (recall !== undefined) return { commit, recall }
  const own = createOwnMemory(now)
  return {
    recall: own.recall,
    commit: async (batch) => {
      if (!isEmpty({ ...batch, done: new Map() })) await commit(batch)
      own.remember(batch.done)
    },
  }
}

const FAILED = { recall: 'adapter.recall.failed', run: 'adapter.run.failed', commit: 'adapter.commit.failed' } as const

/** Returns whether what was done counts. It does not when it could not be looked up or written: then the whole batch comes again. */
async function handleBatch<Effect>(
  messages: readonly Message<Effect>[],
  run: Run,
  memory: Memories<Effect>,
  maxParallel: number,
): Promise<boolean> {
  let step: keyof typeof FAILED = 'recall'
  try {
    await within(run.budget.commitMs(), () => recallFinished(messages, memory.recall))
    memory.uncommitted.restore(messages)
    step = 'run'
    await runBatch(messages, run, maxParallel)
    step = 'commit'
    const batch = toCommit(messages)
    if (!isEmpty(batch)) await within(run.budget.commitMs(), () => memory.commit(batch))
    memory.uncommitted.forget(messages)
    for (const { messageId, notification, handler, attempts, reason } of batch.parked)
      run.log({
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
    if (step === 'commit') memory.uncommitted.keep(messages)
    run.log({
      level: 'error',
      code: FAILED[step],
      message: `the batch failed at the step ${step}; SQS will deliver the whole batch again`,
      messages: messages.length,
      error: describeError(error),
    })
    return false
  }
}

async function runBatch(messages: readonly Message<unknown>[], run: Run, maxParallel: number): Promise<void> {
  const { streams, copies } = toStreams(messages)
  for (const message of messages) if (message.fault !== undefined && message.parked === undefined) parkMessage(message)
  await runParallel(
    streams.map((stream) => () => runStream(stream, run)),
    maxParallel,
  )
  settleCopies(copies)
  run.failures.report()
}
