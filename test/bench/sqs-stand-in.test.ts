import {
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { expect, onTestFinished, test } from 'vitest'
import { toPublished } from '../../bench/load.ts'
import { startStandIn } from '../../bench/stand-in.ts'

const QueueUrl = 'http://127.0.0.1/000000000000/enigma-agents-status.fifo'

async function useStandIn() {
  const standIn = await startStandIn(0)
  onTestFinished(() => standIn.stop())
  // With checksums on: the SDK throws when MD5OfMessageBody is wrong.
  const sqs = new SQSClient({
    endpoint: standIn.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    useQueueUrlAsEndpoint: false,
    maxAttempts: 1,
  })
  onTestFinished(() => sqs.destroy())
  const send = (index: number) =>
    sqs.send(
      new SendMessageCommand({ QueueUrl, MessageBody: toPublished('status', index, 0).packet, MessageGroupId: '0' }),
    )
  return { ...standIn, sqs, send }
}

test('the SDK finds a FIFO queue and sends single messages and batches, with the checksums it expects', async () => {
  const { sqs, send, report } = await useStandIn()
  const { QueueUrl: found } = await sqs.send(new GetQueueUrlCommand({ QueueName: 'enigma-agents-status.fifo' }))
  expect(found).toBe(QueueUrl)
  const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }))
  expect(Attributes).toEqual({ FifoQueue: 'true', MaximumMessageSize: '1048576' })
  await send(0)
  const Entries = [1, 2].map((index) => ({
    Id: String(index),
    MessageBody: toPublished('status', index, 0).packet,
    MessageGroupId: '0',
  }))
  const { Successful, Failed } = await sqs.send(new SendMessageBatchCommand({ QueueUrl, Entries }))
  expect(Successful?.map(({ Id }) => Id)).toEqual(['1', '2'])
  expect(Failed).toEqual([])
  expect(await report(3)).toMatchObject({
    requests: 2,
    messages: 3,
    notifications: 3,
    missing: 0,
    copies: 0,
    disorder: 0,
  })
})

test('the stand-in rejects an unsupported command', async () => {
  const { sqs } = await useStandIn()
  await expect(sqs.send(new ReceiveMessageCommand({ QueueUrl }))).rejects.toMatchObject({
    $metadata: { httpStatusCode: 400 },
  })
})

test('a report resets the counts', async () => {
  const { send, report } = await useStandIn()
  await send(0)
  expect(await report(1)).toMatchObject({ requests: 1, notifications: 1, missing: 0 })
  expect(await report(0)).toMatchObject({ requests: 0, notifications: 0, missing: 0 })
})
