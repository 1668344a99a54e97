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

/** A message that SQS should deliver again. */
export type Postponed = { readonly messageId: string; readonly receiptHandle: string; readonly eventSourceARN: string }

/** The options of `fromSqs`. The adapter itself does no I/O: it calls the functions in these options. */
export type FromSqsOptions<Effect> = {
  /** The name of the route, for parked notifications: `agents-call`. Default: the name of the queue without `.fifo`. */
  readonly route?: string
  /** Throws if an effect is invalid. Called when a handler records it, because an invalid effect would fail the commit of the whole batch. Default: no check. */
  readonly check?: ((effect: unknown) => void) | undefined
  /**
   * Writes effects and parked notifications in one go: pass `store.commit`. Called at most once per batch, before outcomes are reported. If it
   * fails, the whole batch is retried. Notifications in `parked` that it does not write are lost.
   */
  readonly commit: (batch: Commit<Effect>) => Promise<void>
  /**
   * Returns the keys that `commit` remembered from `done`. Called at most once per batch, and only for redelivered messages. Default: this process
   * remembers them itself for an hour; another environment of the function does not know them.
   */
  readonly recall?: Recall
  /** Makes SQS deliver a message again after this many seconds (ChangeMessageVisibility), because the visibility timeout of the queue is longer. */
  readonly postpone: (message: Postponed, delaySeconds: number) => Promise<void>
  /**
   * The longest pause (s) before a failed notification is retried while the read model is available. Meanwhile, SQS holds back the whole message
   * group, including new messages of the lane. Default 300.
   */
  readonly longestDelaySeconds?: number | undefined
  /** The longest pause (s) if `commit` or `recall` fails. Default 300. */
  readonly longestOutageDelaySeconds?: number | undefined
  /**
   * A notification that fails on this attempt is parked, without the others of its message. Set it lower than the `maxReceiveCount` of the queue,
   * after which SQS moves the whole message: an outage of the read model may then last longer than the retries of a handler. Default 10.
   */
  readonly attempts?: number
  /** A notification older than this (ms) is `stale`. Default: the limit of the route that is passed to `event`. */
  readonly maxAgeMs?: number | undefined
  /** How many references are handled in parallel. Default 100. */
  readonly maxParallel?: number
  /** The time limit of a notification (ms). Default: the remaining time of the Lambda function, less a reserve for the commit. */
  readonly timeoutMs?: number | undefined
  /** Returns the time (Unix ms). Default `Date.now`. */
  readonly now?: () => number
  /** Writes a log line. Default: one JSON line on standard error. */
  readonly log?: Log
}

/**
 * Returns a Lambda handler that runs a Hono app on the notifications of an SQS batch. Each notification is one request, such as
 * `POST /agents/call/1002`. References run in parallel, and the notifications of each reference in order. A 2xx response means done. 408, 425, 429,
 * 5xx, an error and a timeout mean retry. Any other response parks the notification at once; on the last attempt, a failure does so too. Effects
 * and parked notifications are committed in one go before the outcomes are reported.
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
    const isCommitted = await handleBatch(messages, budget, () => ({ app, budget, maxAgeMs, now, log, check }))
    const failed = event.Records.flatMap((record, at) => {
      const message = messages[at]
      return message === undefined || (isCommitted && isFinished(message)) ? [] : [{ record, attempt: message.attempt }]
    })
    const longest = isCommitted ? longestDelaySeconds : longestOutageDelaySeconds
    await postponeFailed(failed, { budget, log, postpone, longest })
    return { batchItemFailures: failed.map(({ record }) => ({ itemIdentifier: record.messageId })) }
  }
}

/**
 * Makes SQS deliver failed messages again after their back-off: 1 s after the first attempt, doubled after each. SQS blocks a whole message group
 * while one of its messages is invisible, so all messages of a group get the longest delay of the group. If `postpone` fails, the visibility
 * timeout of the queue applies.
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
