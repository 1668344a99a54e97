import type { Rejection } from '../target.ts'

type Verdict = Rejection['verdict']

// Source: the errors of SendMessageBatch in the SQS API reference. Each says that these very bytes are not taken.
const REFUSALS = new Set([
  'InvalidMessageContents',
  'InvalidParameterValue',
  'InvalidParameterValueException',
  'BatchRequestTooLong',
  'MessageTooLong',
  'InvalidAttributeValue',
  'InvalidBatchEntryId',
  'TooManyEntriesInBatchRequest',
  'RequestEntityTooLarge',
  'ValidationError',
  'ValidationException',
])

// What SQS may call the sender's fault though the content is innocent: these are mended outside, and then the same bytes are taken.
const MENDABLE =
  /AccessDenied|NotAuthorized|Credential|Token|Signature|AccessKey|Throttl|Kms|NonExistentQueue|QueueDoesNotExist|OptIn|Expired|SlowDown|Limit|Quota|Unavailable|MissingAuthentication/i

// Servers write `com.amazonaws.sqs#Code` and `AWS.SimpleQueueService.Code`.
const bare = (code: string) => code.slice(Math.max(code.lastIndexOf('.'), code.lastIndexOf('#')) + 1)

/** The status of the answer; undefined when there was none. */
export const statusOf = (error: unknown): number | undefined =>
  (error as { $metadata?: { httpStatusCode?: number } } | null | undefined)?.$metadata?.httpStatusCode

/** Whether the queue is not where it was: it may have been deleted and made again, under another address. */
export const isMissingQueue = (error: unknown): boolean =>
  error instanceof Error && /NonExistentQueue|QueueDoesNotExist/.test(error.name)

/** Whether AWS knows who asks, and does not allow it. */
export const isAccessDenied = (error: unknown): boolean =>
  error instanceof Error && /AccessDenied|NotAuthorized/i.test(error.name)

/** For an error of a whole request. */
export function judgeRequest(error: unknown): Verdict {
  if (!(error instanceof Error)) return 'retry'
  const status = statusOf(error) ?? 0
  if (status === 413) return 'refused'
  if (status < 400 || status >= 500 || MENDABLE.test(error.name)) return 'retry'
  return REFUSALS.has(bare(error.name)) ? 'refused' : 'retry'
}

/**
 * Whether it was refused for its size. A server may take less than its queues say, and so may a proxy before it; each has words of its
 * own: `MessageTooLong` as a message, `BatchRequestTooLong` for one entry, "must be shorter than 262144 bytes".
 */
export const isForSize = (code: string, words: string): boolean =>
  /too ?(long|large)|(shorter|longer) than/i.test(`${code} ${words}`)

/** Whether AWS does not know or no longer accepts who asks; a refresh of the credentials may help. */
export const isForCredentials = (error: unknown): boolean =>
  error instanceof Error &&
  (/Credential|Token|Signature|AccessKey|UnrecognizedClient|MissingAuthentication/i.test(error.name) ||
    /credentials|security token|access key/i.test(error.message))

/** What an error of a whole request is called. What a proxy answers has no name of its own. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  return statusOf(error) === 413 ? 'RequestEntityTooLarge' : error.name
}

/** For an entry in the `Failed` part of an answer: its sender's fault is final, unless it can be mended outside. */
export function judgeEntry(entry: {
  readonly Code?: string | undefined
  readonly SenderFault?: boolean | undefined
}): Verdict {
  return entry.SenderFault === true && !MENDABLE.test(entry.Code ?? '') ? 'refused' : 'retry'
}
