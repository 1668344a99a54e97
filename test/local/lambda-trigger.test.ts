import { ChangeMessageVisibilityCommand, GetQueueAttributesCommand, SendMessageCommand } from '@aws-sdk/client-sqs'
import { expect, onTestFinished, test } from 'vitest'
import {
  createLambdaTrigger,
  type Invocation,
  type LambdaHandler,
  type LambdaRecord,
  type LambdaTriggerOptions,
} from '../../src/local/lambda/lambda-trigger.ts'
import { createLog } from '../../src/runtime/index.ts'
import { waitFor } from '../support/relay.ts'
import { useSqs } from '../support/sqs.ts'

/** A queue and a trigger on it, with the invocations and log lines of the trigger. */
async function useTrigger(handler: LambdaHandler, more: Partial<LambdaTriggerOptions> = {}) {
  const { sqs, url } = await useSqs()
  const queueUrl = url('agents-call')
  const { Attributes } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ['QueueArn'] }),
  )
  const queueArn = Attributes?.['QueueArn'] as string
  const invocations: Invocation[] = []
  const lines: string[] = []
  const log = createLog('info', { write: (line) => void lines.push(line) })
  const trigger = createLambdaTrigger({
    sqs,
    queueUrl,
    queueArn,
    handler,
    functionName: 'agents-call',
    log,
    onInvocation: (invocation) => void invocations.push(invocation),
    ...more,
  })
  const abort = new AbortController()
  let running: Promise<void> | undefined
  const start = () => {
    running = trigger.run(abort.signal)
  }
  const stop = async () => {
    abort.abort()
    await running
  }
  onTestFinished(stop)
  const send = (body: string, group: string, attributes: Record<string, string> = {}) =>
    sqs.send(
      new SendMessageCommand({
        QueueUrl: queueUrl,
        MessageBody: body,
        MessageGroupId: group,
        MessageDeduplicationId: body,
        MessageAttributes: Object.fromEntries(
          Object.entries(attributes).map(([name, StringValue]) => [name, { DataType: 'String', StringValue }]),
        ),
      }),
    )
  /** Messages in the queue, those in flight included. */
  const count = async () => {
    const names = ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'] as const
    const answer = await sqs.send(new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: [...names] }))
    return names.reduce((sum, name) => sum + Number(answer.Attributes?.[name]), 0)
  }
  const release = (record: LambdaRecord) =>
    sqs.send(
      new ChangeMessageVisibilityCommand({
        QueueUrl: queueUrl,
        ReceiptHandle: record.receiptHandle,
        VisibilityTimeout: 0,
      }),
    )
  return { start, stop, send, count, release, invocations, lines, queueArn }
}

const done: LambdaHandler = () => Promise.resolve({ batchItemFailures: [] })

test('a function gets the event that Lambda would send, and a handled message is deleted', async () => {
  const events: unknown[] = []
  const trigger = await useTrigger((event, context) => {
    events.push([event, context.functionName, context.getRemainingTimeInMillis() > 20_000, context.awsRequestId.length])
    return Promise.resolve({ batchItemFailures: [] })
  })
  await trigger.send('hello', '17', { 'content-encoding': 'gzip' })
  trigger.start()
  await waitFor(async () => (await trigger.count()) === 0, 'the message to be deleted')
  const record = {
    messageId: expect.any(String) as string,
    receiptHandle: expect.any(String) as string,
    body: 'hello',
    md5OfBody: '5d41402abc4b2a76b9719d911017c592',
    eventSource: 'aws:sqs',
    eventSourceARN: trigger.queueArn,
    awsRegion: 'us-east-1',
    attributes: expect.objectContaining({
      ApproximateReceiveCount: '1',
      MessageGroupId: '17',
      MessageDeduplicationId: 'hello',
      SentTimestamp: expect.stringMatching(/^\d{13}$/) as string,
      ApproximateFirstReceiveTimestamp: expect.stringMatching(/^\d{13}$/) as string,
      SequenceNumber: expect.stringMatching(/^\d{20}$/) as string,
    }) as unknown,
    messageAttributes: {
      'content-encoding': { stringValue: 'gzip', dataType: 'String', stringListValues: [], binaryListValues: [] },
    },
  }
  expect(events).toEqual([[{ Records: [record] }, 'agents-call', true, 36]])
})

test('only the failed messages of a batch are delivered again, with a higher receive count', async () => {
  const seen: string[] = []
  let release: (record: LambdaRecord) => Promise<unknown> = () => Promise.resolve()
  const trigger = await useTrigger(
    async ({ Records }) => {
      const failed = Records.filter(
        (record) => record.body.startsWith('fail') && record.attributes.ApproximateReceiveCount === '1',
      )
      for (const record of Records) seen.push(`${record.body} ${record.attributes.ApproximateReceiveCount}`)
      for (const record of failed) await release(record)
      return { batchItemFailures: failed.map((record) => ({ itemIdentifier: record.messageId })) }
    },
    { pollers: 1 },
  )
  release = trigger.release
  for (let n = 0; n < 10; n++) await trigger.send(n % 5 === 0 ? `fail ${n}` : `good ${n}`, `group ${n}`)
  trigger.start()
  await waitFor(async () => (await trigger.count()) === 0, 'all to be deleted')
  expect(trigger.invocations[0]).toMatchObject({
    functionName: 'agents-call',
    records: { length: 10 },
    failed: { size: 2 },
  })
  expect(seen.filter((line) => line.endsWith(' 2')).toSorted()).toEqual(['fail 0 2', 'fail 5 2'])
  expect(seen).toHaveLength(12)
})

test.each<[string, string, LambdaHandler, Partial<LambdaTriggerOptions>]>([
  ['throws', 'dev.function.threw', () => Promise.reject(new Error('called 27821234567')), {}],
  [
    'names a message that is not in the batch',
    'dev.function.bad_answer',
    () => Promise.resolve({ batchItemFailures: [{ itemIdentifier: 'another' }] }),
    {},
  ],
  ['has not answered in time', 'dev.function.threw', () => new Promise(() => undefined), { timeoutMs: 50 }],
])('nothing is deleted when the function %s', async (_what, code, handler, more) => {
  const trigger = await useTrigger(handler, more)
  await trigger.send('one', 'a')
  await trigger.send('two', 'b')
  trigger.start()
  await waitFor(() => trigger.invocations.reduce((sum, { failed }) => sum + failed.size, 0) === 2, 'both to fail')
  await trigger.stop()
  expect(await trigger.count()).toBe(2)
  expect(trigger.lines.join('')).toContain(`"code":"${code}"`)
  expect(trigger.lines.join('')).not.toContain('27821234567')
})

test('a slow batch does not delay the messages of other groups', async () => {
  const held = Promise.withResolvers<undefined>()
  const entered = Promise.withResolvers<undefined>()
  const bodies: string[] = []
  const trigger = await useTrigger(async ({ Records }) => {
    if (Records.some((record) => record.body === 'slow')) {
      entered.resolve(undefined)
      await held.promise
    }
    bodies.push(...Records.map((record) => record.body))
  })
  onTestFinished(() => held.resolve(undefined))
  await trigger.send('slow', 'a')
  trigger.start()
  // Not before: it would be in the same batch.
  await entered.promise
  await trigger.send('quick 1', 'b')
  await waitFor(() => bodies.includes('quick 1'), 'the first quick one')
  await trigger.send('quick 2', 'c')
  await waitFor(() => bodies.includes('quick 2'), 'the second quick one')
  expect(bodies).not.toContain('slow')
  held.resolve(undefined)
  await waitFor(async () => (await trigger.count()) === 0, 'the slow one')
})

test('stopping finishes and deletes the batch in work, and does not wait for idle requests', async () => {
  const entered = Promise.withResolvers<undefined>()
  const held = Promise.withResolvers<undefined>()
  const trigger = await useTrigger(async () => {
    entered.resolve(undefined)
    await held.promise
  })
  onTestFinished(() => held.resolve(undefined))
  await trigger.send('one', 'a')
  trigger.start()
  await entered.promise
  const stopped = trigger.stop()
  held.resolve(undefined)
  await stopped
  expect(await trigger.count()).toBe(0)
})

test('an idle trigger stops while its requests still wait for messages', async () => {
  const trigger = await useTrigger(done)
  trigger.start()
  await trigger.send('one', 'a')
  await waitFor(() => trigger.invocations.length === 1, 'it to poll')
  // The requests wait for 20 s: if stop waited for them, this test would time out.
  await trigger.stop()
  expect(trigger.lines).toEqual([])
}, 15_000)
