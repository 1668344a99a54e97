import { ListQueuesCommand, ReceiveMessageCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createQueues } from '../../src/local/queues.ts'
import { startSqsServer } from '../../src/local/sqs-server.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'

test('a redis-server answers on the address that it names, and another one gets another port', async () => {
  const first = await useRedisServer()
  const second = await useRedisServer({ port: first.port })
  expect(second.port).not.toBe(first.port)
  const client = await useRedisClient(second.url)
  expect(await client.ping()).toBe('PONG')
})

test('the local SQS listens on 127.0.0.1 and keeps queues and messages between runs', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'enigma-sqs-'))
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }))
  const connect = (endpoint: string) =>
    new SQSClient({
      endpoint,
      region: 'us-east-1',
      credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
      useQueueUrlAsEndpoint: false,
    })
  const first = await startSqsServer({ dataDir })
  expect(first.endpoint).toMatch(/^http:\/\/127\.0\.0\.1:/)
  const queues = await createQueues(connect(first.endpoint), 'enigma-')
  const url = queues[0]?.url
  await connect(first.endpoint).send(
    new SendMessageCommand({ QueueUrl: url, MessageBody: 'kept', MessageGroupId: '1', MessageDeduplicationId: '1' }),
  )
  await first.stop()
  const second = await startSqsServer({ dataDir })
  onTestFinished(() => second.stop())
  const sqs = connect(second.endpoint)
  expect((await sqs.send(new ListQueuesCommand({}))).QueueUrls).toHaveLength(queues.length * 2)
  await createQueues(sqs, 'enigma-')
  const received = await sqs.send(new ReceiveMessageCommand({ QueueUrl: url, MessageSystemAttributeNames: ['All'] }))
  expect(received.Messages?.map((message) => message.Body)).toEqual(['kept'])
})
