import { isMissingQueue } from '../../../protocol/index.ts'
import { isForeignAnswer, statusOf } from '../../relay-error.ts'
import { ProxyError } from '../http-proxy.ts'
import type { Problem, Rejection } from '../target.ts'

type Verdict = Rejection['verdict']

// Source: the errors of SendMessageBatch in the SQS API reference. Each means that these very bytes are not accepted. Servers write
// `com.amazonaws.sqs#Code` and `AWS.SimpleQueueService.Code`.
const REFUSALS =
  /(^|[.#])(InvalidMessageContents|InvalidParameterValue(Exception)?|BatchRequestTooLong|MessageTooLong|InvalidAttributeValue|InvalidBatchEntryId|TooManyEntriesInBatchRequest|RequestEntityTooLarge|Validation(Error|Exception))$/

// Errors that SQS may call the sender's fault although the content is fine. Once their cause is removed, the same bytes are accepted.
const MENDABLE =
  /AccessDenied|NotAuthorized|Credential|Token|Signature|AccessKey|Throttl|Kms|NonExistentQueue|QueueDoesNotExist|OptIn|Expired|SlowDown|Limit|Quota|Unavailable|MissingAuthentication/i

// A queue that is gone may have been deleted and created again, with another address.
export { isMissingQueue }

/** Whether AWS knows the caller, and does not allow the request. */
export const isAccessDenied = (error: unknown): boolean =>
  error instanceof Error && /AccessDenied|NotAuthorized/i.test(error.name)

/** Whether SQS rejected the values of a request, which it checks after it has checked the caller and the right. */
export function isForValues(error: unknown): boolean {
  const status = statusOf(error) ?? 0
  return error instanceof Error && status >= 400 && status < 500 && status !== 429 && !MENDABLE.test(error.name)
}

/** Judges an error of a whole request. */
export function judgeRequest(error: unknown): Verdict {
  if (!(error instanceof Error)) return 'retry'
  const status = statusOf(error) ?? 0
  if (status === 413) return 'refused'
  if (status < 400 || status >= 500 || MENDABLE.test(error.name)) return 'retry'
  return REFUSALS.test(error.name) ? 'refused' : 'retry'
}

/**
 * Whether something was rejected for its size. A server may accept less than its queues report, and so may a proxy in front of it. Each words it
 * differently: `MessageTooLong` for a message, `BatchRequestTooLong` for one entry, "must be shorter than 262144 bytes".
 */
export const isForSize = (code: string, words: string): boolean =>
  /too ?(long|large)|(shorter|longer) than/i.test(`${code} ${words}`)

/** Whether AWS does not know the caller, or no longer accepts the credentials. Resolving them again may help. */
export const isForCredentials = (error: unknown): boolean =>
  error instanceof Error &&
  (/Credential|Token|Signature|AccessKey|UnrecognizedClient|MissingAuthentication/i.test(error.name) ||
    /credentials|security token|access key/i.test(error.message))

/** Names an error of a whole request. The answer of a proxy has no name of its own. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  return statusOf(error) === 413 ? 'RequestEntityTooLarge' : error.name
}

/** Judges an entry in the `Failed` part of an answer: the sender's fault is final, unless its cause can be removed. */
export function judgeEntry({ Code = '', SenderFault }: { Code?: string; SenderFault?: boolean | undefined }): Verdict {
  return SenderFault === true && !MENDABLE.test(Code) ? 'refused' : 'retry'
}

/** Returns the code of the problem that an error of SQS shows. */
export function problemOf(error: unknown) {
  if (isMissingQueue(error)) return 'relay.sqs.queue_missing'
  if (error instanceof ProxyError) return 'relay.proxy.refused'
  if (isForCredentials(error)) return 'relay.sqs.credentials_rejected'
  if (isAccessDenied(error)) return 'relay.sqs.access_denied'
  return isForeignAnswer(error) ? 'relay.sqs.foreign_answer' : 'relay.sqs.unavailable'
}

const CREDENTIALS = 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or a role, and check the clock'
const NETWORK = 'check AWS_REGION, AWS_ENDPOINT_URL_SQS and the network'

/** Returns the problem that an error of SQS shows, with its remedy. */
export function sqsProblem(error: unknown, name: string, prefix: string): Problem {
  const code = problemOf(error)
  const retries = 'the relay keeps everything and retries'
  const texts = {
    'relay.sqs.queue_missing': `the queue ${name} does not exist: create it with "enigma-relay queues --create" or deploy the stack, or correct ENIGMA_QUEUE_PREFIX (now ${prefix})`,
    'relay.proxy.refused': `${error instanceof Error ? error.message : ''}: check HTTPS_PROXY and what the proxy allows, or name the host in NO_PROXY; ${retries}`,
    'relay.sqs.credentials_rejected': `AWS does not accept the credentials: ${CREDENTIALS}`,
    'relay.sqs.access_denied': `AWS denies access to ${name}: allow sqs:SendMessage, sqs:GetQueueUrl and sqs:GetQueueAttributes on it`,
    'relay.sqs.foreign_answer': `the server that answered is not SQS, or does not speak the JSON protocol of SQS: check AWS_ENDPOINT_URL_SQS and any proxy on the way; ${retries}`,
    'relay.sqs.unavailable': `SQS cannot be reached or does not accept messages: ${NETWORK}; ${retries}`,
  }
  return { code, text: texts[code] }
}

/** Returns the remedy for an error of SQS, for a user who waits for a command. */
export function sqsFix(error: unknown, queue: string): string {
  const fixes = {
    'relay.sqs.queue_missing': 'enigma-relay queues --create, or correct ENIGMA_QUEUE_PREFIX',
    'relay.sqs.credentials_rejected': CREDENTIALS,
    'relay.sqs.access_denied': `allow sqs:SendMessage, sqs:GetQueueUrl and sqs:GetQueueAttributes on ${queue}`,
    'relay.sqs.foreign_answer':
      'check AWS_ENDPOINT_URL_SQS and any proxy on the way; a local SQS must speak the JSON protocol',
    'relay.proxy.refused': NETWORK,
    'relay.sqs.unavailable': NETWORK,
  }
  return fixes[problemOf(error)]
}
