import { maskText } from '../protocol/index.ts'

/** Whether the SDK says that there is no such queue; its two protocols name that differently. */
export const isMissingQueue = (error: unknown): boolean =>
  error instanceof Error && /QueueDoesNotExist|NonExistentQueue/.test(error.name)

/** An error of the SDK in words that say what to do. They hold no account number and no secret. */
export function describeSqsError(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return describeSqsError(error.errors[0])
  if (!(error instanceof Error)) return 'an error without a message'
  const { name, message } = error
  if (isMissingQueue(error))
    return 'the queue does not exist; check ENIGMA_QUEUE_PREFIX, or create it with `enigma-relay queues --create`'
  if (/AccessDenied|NotAuthorized/i.test(name))
    return 'access is denied; allow sqs:GetQueueUrl, sqs:ReceiveMessage and sqs:DeleteMessage'
  if (/Credentials|Token|Signature|AccessKey/i.test(name)) return `AWS rejected the credentials (${name})`
  if (/Timeout|Abort/i.test(name)) return 'SQS did not answer in time'
  const code = 'code' in error ? ` ${String(error.code)}` : ''
  return `SQS cannot be reached or answered with an error (${name}${code}${message === '' ? '' : `: ${maskText(message)}`})`
}
