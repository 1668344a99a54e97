import { describeError } from './errors.ts'
import type { Log } from './log.ts'
import type { Message } from './message.ts'
import type { Postponed } from './options.ts'
import { within } from './within.ts'

/** Ten attempts at 1, 2, 4 … 256 s last eight and a half minutes; each one more adds five minutes. */
const LONGEST_DELAY_SECONDS = 300

/** 1 s after the first attempt, doubled after each. */
export function delaySeconds(attempt: number, longest = LONGEST_DELAY_SECONDS): number {
  return Math.min(2 ** (attempt - 1), longest)
}

export type PostponeOptions = {
  readonly postpone: (message: Postponed, delaySeconds: number) => Promise<void>
  /** Default 300. */
  readonly longestDelaySeconds?: number | undefined
  readonly limitMs: () => number
  readonly log: Log
}

/**
 * Has failed messages come again after their back-off. SQS blocks a whole group while one of its messages is not visible, so the
 * messages of a group get one delay, the longest, and come back together. When it fails, the queue's visibility timeout holds.
 */
export async function postponeFailed(failed: readonly Message<unknown>[], options: PostponeOptions): Promise<void> {
  const delays = new Map<string, number>()
  for (const message of failed) {
    const group = toGroup(message)
    delays.set(group, Math.max(delays.get(group) ?? 0, delaySeconds(message.attempt, options.longestDelaySeconds)))
  }
  const one = async (message: Message<unknown>) => {
    const { messageId, receiptHandle, eventSourceARN } = message.record
    const delay = delays.get(toGroup(message)) ?? delaySeconds(message.attempt, options.longestDelaySeconds)
    try {
      await within(options.limitMs(), () => options.postpone({ messageId, receiptHandle, eventSourceARN }, delay))
    } catch (error) {
      options.log({
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

function toGroup({ record }: Message<unknown>): string {
  return `${record.eventSourceARN} ${record.attributes.MessageGroupId ?? record.messageId}`
}
