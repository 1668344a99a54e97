import { DEFAULT_LIMITS } from '../protocol/index.ts'
import { AdapterError, describeError, logToConsole, type Log } from './adapter-error.ts'
import { createBudget, keepErrorsQuiet, pauseSeconds, within, type Budget } from './attempt.ts'
import { createBatches } from './batch.ts'
import type { Commit, Recall } from './commit.ts'
import type { App } from './event.ts'
import {
  isFinished,
  readMessage,
  type LambdaContext,
  type SqsBatchResponse,
  type SqsEvent,
  type SqsRecord,
} from './message.ts'

/** A message that SQS is to hand out again. */
export type Postponed = { readonly messageId: string; readonly receiptHandle: string; readonly eventSourceARN: string }

/** How `fromSqs` reaches the world. The adapter itself does no I/O. */
export type FromSqsOptions<Effect> = {
  /** The route's name, by which parked notifications are found: `agents-call`. Default: the name of the queue, without `.fifo`. */
  readonly route?: string
  /** Throws what is wrong with an effect, when a handler records it: in a commit it would hold up its whole batch. Default: nothing is. */
  readonly check?: ((effect: unknown) => void) | undefined
  /**
   * Writes what was recorded and what is parked, at once: `store.commit` does. Once per batch at most, before outcomes are reported; when
   * it fails, the whole batch is retried. Notifications in `parked` that it does not write are lost.
   */
  readonly commit: (batch: Commit<Effect>) => Promise<void>
  /**
   * What `commit` remembered as `done`. Once per batch at most, only for messages that were handed out before. Default: what this
   * process remembers itself, for an hour; another environment of the function knows nothing of it.
   */
  readonly recall?: Recall
  /** Has SQS hand out a message again after this many seconds (ChangeMessageVisibility): the queue's own timeout is too long. */
  readonly postpone: (message: Postponed, delaySeconds: number) => Promise<void>
  /**
   * Longest pause (s) before one is tried again that fails while the read model works. SQS holds back the whole message group meanwhile, and
   * so all that is new in its lane. Default 300.
   */
  readonly longestDelaySeconds?: number | undefined
  /** The same where `commit` or `recall` fails. Default 300. */
  readonly longestOutageDelaySeconds?: number | undefined
  /**
   * On that attempt, what fails is parked alone. At most the queue's own `maxReceiveCount`, where SQS moves the whole message; less, so that
   * an outage of the read model may last longer than a handler's fault. Default 10.
   */
  readonly attempts?: number
  /** Older notifications (ms) are `stale`. Default: as the route table says. */
  readonly maxAgeMs?: number | undefined
  /** References that are handled at once. Default 100. */
  readonly maxParallel?: number
  /** Longest time (ms) for one notification. Default: what Lambda has left, less a reserve for the commit. */
  readonly timeoutMs?: number | undefined
  /** Unix ms. Default `Date.now`. */
  readonly now?: () => number
  /** Default: one JSON line on standard error. */
  readonly log?: Log
}

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
 * export const handler = fromSqs(app, { commit, recall, postpone, attempts: 10 })
 */
export function fromSqs<Effect>(app: App, options: FromSqsOptions<Effect>) {
  const { attempts = DEFAULT_LIMITS.attempts, postpone, maxAgeMs, now = Date.now, log = logToConsole, check } = options
  const { longestDelaySeconds, longestOutageDelaySeconds } = options
  const handleBatch = createBatches({ ...options, now, log, isOneRequest: false })
  keepErrorsQuiet(app)
  return async (event: SqsEvent, context?: LambdaContext): Promise<SqsBatchResponse> => {
    if (!Array.isArray(event.Records))
      throw new AdapterError(
        'adapter.event.not_sqs',
        'the event has no Records, so it is not from SQS: invoke the function through its event source mapping',
      )
    const budget = createBudget(context, options.timeoutMs)
    const messages = await Promise.all(
      event.Records.map((record) => readMessage<Effect>(record, attempts, options.route)),
    )
    const counts = await handleBatch(messages, budget, () => ({ app, budget, maxAgeMs, now, log, check }))
    const failed = event.Records.flatMap((record, at) => {
      const message = messages[at]
      return message === undefined || (counts && isFinished(message)) ? [] : [{ record, attempt: message.attempt }]
    })
    const longest = counts ? longestDelaySeconds : longestOutageDelaySeconds
    await postponeFailed(failed, { budget, log, postpone, longest })
    return { batchItemFailures: failed.map(({ record }) => ({ itemIdentifier: record.messageId })) }
  }
}

/**
 * Has failed messages come again after their back-off: 1 s after the first attempt, doubled after each. SQS blocks a whole group while one
 * of its messages is not visible, so the messages of a group get one delay, the longest, and come back together. When it fails, the
 * queue's visibility timeout holds.
 */
async function postponeFailed(
  failed: readonly Failed[],
  { budget, log, postpone, longest }: Postponing,
): Promise<void> {
  const groupOf = ({ record }: Failed) =>
    `${record.eventSourceARN} ${record.attributes.MessageGroupId ?? record.messageId}`
  const groups = Map.groupBy(failed, groupOf)
  const one = async (message: Failed) => {
    const { messageId, receiptHandle, eventSourceARN } = message.record
    const delay = pauseSeconds(Math.max(...(groups.get(groupOf(message)) ?? []).map(({ attempt }) => attempt)), longest)
    try {
      await within(budget.reportMs(), () => postpone({ messageId, receiptHandle, eventSourceARN }, delay))
    } catch (error) {
      log({
        level: 'warn',
        code: 'adapter.postpone.failed',
        message: "the message's retry could not be scheduled; SQS will deliver it after the queue's visibility timeout",
        messageId,
        error: describeError(error),
      })
    }
  }
  await Promise.all(failed.map(one))
}

type Failed = { readonly record: SqsRecord; readonly attempt: number }
type Postponing = {
  readonly budget: Budget
  readonly log: Log
  readonly postpone: FromSqsOptions<unknown>['postpone']
  readonly longest: number | undefined
}
