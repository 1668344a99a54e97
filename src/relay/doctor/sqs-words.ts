import { maskText } from '../../protocol/index.ts'
import type { RelayConfig } from '../config.ts'
import { isForeignAnswer } from '../errors.ts'
import { wordsOf } from './words-of.ts'

const codeOf = (error: unknown): string => (error instanceof Error ? error.name : '')

export const isMissing = (error: unknown): boolean => /NonExistentQueue|QueueDoesNotExist/.test(codeOf(error))
export const isAccessDenied = (error: unknown): boolean => /AccessDenied|NotAuthorized/i.test(codeOf(error))
const isIdentity = (error: unknown): boolean =>
  /Credentials|Token|Signature|AccessKey|UnrecognizedClient/i.test(codeOf(error)) || /credentials/i.test(wordsOf(error))

/** What all queues suffer from: SQS is not there, does not know who asks, or something else answers in its place. */
export const isForAll = (error: unknown): boolean =>
  isIdentity(error) || isForeignAnswer(error) || (!isMissing(error) && !isAccessDenied(error) && !hasStatus(error))

const hasStatus = (error: unknown): boolean =>
  error instanceof Error &&
  '$metadata' in error &&
  typeof (error.$metadata as { httpStatusCode?: unknown }).httpStatusCode === 'number'

/** The words of an error of SQS, without account and key numbers; one of the connection names addresses and ports only. */
export const sqsWords = (error: unknown): string => (isConnection(error) ? wordsOf(error) : maskText(wordsOf(error)))

const isConnection = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && /^E[A-Z]+$/.test(error.code)

/** What to do about an error of SQS. */
export function sqsFix(error: unknown, queue: string): string {
  if (isMissing(error)) return 'enigma-relay queues --create, or correct ENIGMA_QUEUE_PREFIX'
  if (isIdentity(error))
    return 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or a role, and check the clock'
  if (isAccessDenied(error)) return `allow sqs:SendMessage, sqs:GetQueueUrl and sqs:GetQueueAttributes on ${queue}`
  if (isForeignAnswer(error))
    return 'check AWS_ENDPOINT_URL_SQS and any proxy on the way; a local SQS must speak the JSON protocol'
  return 'check AWS_REGION, AWS_ENDPOINT_URL_SQS and the network'
}

/** A command line for the AWS CLI. */
export function sqsCli({ region, endpoint }: RelayConfig, command: string, url: string): string {
  return `aws sqs ${command} --region ${region}${endpoint === undefined ? '' : ` --endpoint-url ${endpoint}`} --queue-url ${url}`
}
