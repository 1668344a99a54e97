import { SQSServiceException } from '@aws-sdk/client-sqs'
import { expect, test } from 'vitest'
import { isForValues, judgeEntry, judgeRequest } from '../../../src/relay/targets/sqs/verdict.ts'

const errorOf = (name: string, httpStatusCode: number) =>
  new SQSServiceException({
    name,
    message: 'of the test',
    $fault: httpStatusCode < 500 ? 'client' : 'server',
    $metadata: { httpStatusCode },
  })

test.each([
  ['InvalidMessageContents', 400, 'refused'],
  ['BatchRequestTooLong', 400, 'refused'],
  ['AWS.SimpleQueueService.BatchRequestTooLong', 400, 'refused'],
  ['com.amazonaws.sqs#InvalidParameterValue', 400, 'refused'],
  ['RequestEntityTooLarge', 413, 'refused'],
  ['UnknownToUs', 413, 'refused'],
  ['UnknownToUs', 400, 'retry'],
  ['InternalError', 500, 'retry'],
  ['InvalidMessageContents', 503, 'retry'],
  ['ThrottlingException', 400, 'retry'],
  ['RequestThrottled', 403, 'retry'],
  ['OverLimit', 403, 'retry'],
  ['AccessDenied', 403, 'retry'],
  ['ExpiredTokenException', 403, 'retry'],
  ['InvalidClientTokenId', 403, 'retry'],
  ['SignatureDoesNotMatch', 403, 'retry'],
  ['QueueDoesNotExist', 400, 'retry'],
  ['AWS.SimpleQueueService.NonExistentQueue', 400, 'retry'],
  ['KmsThrottled', 400, 'retry'],
  ['KmsDisabled', 400, 'retry'],
] as const)('a request answered with %s (%i): %s', (name, status, verdict) => {
  expect(judgeRequest(errorOf(name, status))).toBe(verdict)
})

test('only an error about the values of a request shows that its caller had the right', () => {
  for (const name of ['ReadCountOutOfRange', 'InvalidParameterValue', 'ReceiptHandleIsInvalid'])
    expect(isForValues(errorOf(name, 400)), name).toBe(true)
  for (const [name, status] of [
    ['InternalError', 500],
    ['ServiceUnavailable', 503],
    ['UnknownToUs', 429],
    ['ThrottlingException', 400],
    ['RequestThrottled', 403],
    ['AccessDenied', 403],
    ['InvalidClientTokenId', 403],
  ] as const)
    expect(isForValues(errorOf(name, status)), name).toBe(false)
  expect(isForValues(new Error('connect ECONNREFUSED'))).toBe(false)
})

test('a network error, a timeout and an unknown error are retried', () => {
  expect(judgeRequest(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }))).toBe('retry')
  expect(judgeRequest(Object.assign(new Error('late'), { name: 'TimeoutError' }))).toBe('retry')
  expect(judgeRequest('a string')).toBe('retry')
  expect(judgeRequest(undefined)).toBe('retry')
})

test.each([
  [{ Code: 'InvalidMessageContents', SenderFault: true }, 'refused'],
  [{ Code: 'SomethingNew', SenderFault: true }, 'refused'],
  [{ SenderFault: true }, 'refused'],
  [{ Code: 'InternalError', SenderFault: false }, 'retry'],
  [{ Code: 'InvalidMessageContents', SenderFault: false }, 'retry'],
  [{ Code: 'InternalError' }, 'retry'],
  [{ Code: 'KmsAccessDenied', SenderFault: true }, 'retry'],
  [{ Code: 'RequestThrottled', SenderFault: true }, 'retry'],
  [{}, 'retry'],
] as const)('an entry that failed with %j: %s', (entry, verdict) => {
  expect(judgeEntry(entry)).toBe(verdict)
})
