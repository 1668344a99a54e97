import { expect, test } from 'vitest'
import { readAnswer, toLambdaRecord } from '../../src/local/lambda/lambda-trigger.ts'

const ids = new Set(['a', 'b'])

test.each([undefined, null, {}, { batchItemFailures: null }, { batchItemFailures: [] }])(
  'the answer %j fails nothing',
  (answer) => {
    expect(readAnswer(answer, ids)).toEqual(new Set())
  },
)

test('an answer fails the messages that it names', () => {
  expect(readAnswer({ batchItemFailures: [{ itemIdentifier: 'b' }] }, ids)).toEqual(new Set(['b']))
})

test.each([
  'text',
  { batchItemFailures: 'b' },
  { batchItemFailures: [{ itemIdentifier: '' }] },
  { batchItemFailures: [{ itemIdentifier: null }] },
  { batchItemFailures: [{ id: 'b' }] },
  { batchItemFailures: [null] },
  { batchItemFailures: [{ itemIdentifier: 'b' }, { itemIdentifier: 'c' }] },
])('the answer %j fails the whole batch, as in Lambda', (answer) => {
  expect(readAnswer(answer, ids)).toBe('all')
})

test('a binary attribute travels as base64', () => {
  const message = {
    MessageId: 'a',
    MessageAttributes: { bytes: { DataType: 'Binary', BinaryValue: Uint8Array.of(0, 255) } },
  }
  expect(toLambdaRecord(message, 'arn:aws:sqs:eu-west-1:1:q').messageAttributes['bytes']).toMatchObject({
    dataType: 'Binary',
    binaryValue: 'AP8=',
  })
})
