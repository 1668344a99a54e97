import type { Outcomes } from '../protocol/index.ts'
import type { Log } from './log.ts'

/** What the handlers of a whole batch recorded, and what is to be remembered; written in one go. */
export type Commit<Effect> = Outcomes & {
  /** In the order of the batch: message by message, notification by notification. */
  readonly effects: Effect[]
  /**
   * SQS message id → ids of its notifications that are finished. Only messages that SQS will hand out again. Remember them for
   * longer than the queue may go on retrying.
   */
  readonly done: ReadonlyMap<string, readonly string[]>
}

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
  readonly recall?: (messageIds: readonly string[]) => Promise<ReadonlyMap<string, ReadonlySet<string>>>
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
  readonly maxReceiveCount?: number
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
