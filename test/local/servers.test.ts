import { ListQueuesCommand, ReceiveMessageCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createQueues } from '../../src/relay/targets/sqs/sqs-target.ts'
import { startSqsServer } from '../../src/local/local-aws.ts'
import { startUpstashProxy, type UpstashLimits } from '../../src/local/upstash-proxy.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { ROUTES } from '../support/routes.ts'

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
  const queues = await createQueues(connect(first.endpoint), 'enigma-', ROUTES)
  const url = queues[0]?.url
  await connect(first.endpoint).send(
    new SendMessageCommand({ QueueUrl: url, MessageBody: 'kept', MessageGroupId: '1', MessageDeduplicationId: '1' }),
  )
  await first.stop()
  const second = await startSqsServer({ dataDir })
  onTestFinished(() => second.stop())
  const sqs = connect(second.endpoint)
  expect((await sqs.send(new ListQueuesCommand({}))).QueueUrls).toHaveLength(queues.length * 2 + 1)
  await createQueues(sqs, 'enigma-', ROUTES)
  const received = await sqs.send(new ReceiveMessageCommand({ QueueUrl: url, MessageSystemAttributeNames: ['All'] }))
  expect(received.Messages?.map((message) => message.Body)).toEqual(['kept'])
})

describe('the local Upstash has the limits and error messages of Upstash', () => {
  const useUpstash = async (limits: UpstashLimits = {}) => {
    const redis = await useRedisServer()
    const proxy = await startUpstashProxy({ redisUrl: redis.url, token: 't', ...limits })
    onTestFinished(() => proxy.stop())
    const post = async (path: string, body: unknown) => {
      const headers = { authorization: 'Bearer t', 'content-type': 'application/json' }
      const response = await fetch(`${proxy.url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
      return [response.status, await response.json()] as [number, { result?: unknown; error?: string }]
    }
    return { redis, post, send: (...command: unknown[]) => post('/', command) }
  }
  const LARGE = 'x'.repeat(32 * 1024 + 1)
  const refusal = (limit: string) => [
    400,
    { error: expect.stringContaining(`ERR max ${limit} exceeded. Limit: 32768 bytes, Actual: 32769 bytes`) as string },
  ]

  test.each([
    ['a key', 'key size', ['SET', LARGE, '1']],
    ['a key that is read', 'key size', ['GET', LARGE]],
    ['the second of several keys', 'key size', ['MGET', 'a', LARGE]],
    ['a field', 'field size', ['HSET', 'h', 'a', '1', LARGE, '2']],
    ['a field that counts', 'field size', ['HINCRBY', 'h', LARGE, '1']],
    ['a member of a set', 'member size', ['SADD', 's', 'a', LARGE]],
    ['a member of a sorted set', 'member size', ['ZADD', 'z', 'NX', 'CH', '1', 'a', '2', LARGE]],
  ])('%s over 32 KB is rejected in a command, a pipeline, a transaction and a script', async (_, limit, command) => {
    const { send, post } = await useUpstash()
    expect(await send(...command)).toEqual(refusal(limit))
    expect((await post('/pipeline', [command]))[1]).toMatchObject([refusal(limit)[1]])
    expect((await post('/multi-exec', [['PING'], command]))[0]).toBe(400)
    const script = 'return redis.call(unpack(ARGV))'
    expect(await send('EVAL', script, '0', ...command)).toEqual(refusal(limit))
    const digest = createHash('sha1').update(script).digest('hex')
    expect(await send('EVALSHA', digest, '0', ...command)).toEqual(refusal(limit))
    expect((await send('EVAL', 'return redis.pcall(unpack(ARGV))', '0', ...command))[0]).toBe(400)
  })

  test('a value over 32 KB is accepted, and other commands answer as in Redis', async () => {
    const { send, post } = await useUpstash()
    expect(await send('SET', 'k', LARGE)).toEqual([200, { result: 'OK' }])
    expect(await send('HSET', 'h', 'f', LARGE)).toEqual([200, { result: 1 }])
    expect(await send('RPUSH', 'l', LARGE)).toEqual([200, { result: 1 }])
    expect(await send('GET', 'none')).toEqual([200, { result: null }])
    expect(await send('HGETALL', 'h')).toEqual([200, { result: ['f', LARGE] }])
    expect(await send('GET', 'h')).toMatchObject([400, { error: expect.stringMatching(/^WRONGTYPE/) as string }])
    expect(await send('EVALSHA', '0'.repeat(40), '0')).toMatchObject([
      400,
      { error: expect.stringMatching(/^NOSCRIPT/) as string },
    ])
    expect(
      (
        await post('/multi-exec', [
          ['INCR', 'n'],
          ['GET', 'n'],
        ])
      )[1],
    ).toEqual([{ result: 1 }, { result: '1' }])
  })

  test('a record, a request or a reply over its limit is rejected', async () => {
    const { send } = await useUpstash({ maxRecordBytes: 10_000, maxRequestBytes: 3_000 })
    for (let n = 0; n < 4; n++) expect((await send('RPUSH', 'l', 'x'.repeat(2_000)))[0]).toBe(200)
    expect(await send('RPUSH', 'l', 'x'.repeat(2_000))).toMatchObject([
      400,
      { error: expect.stringContaining('ERR max single record size exceeded. Limit: 10000 bytes') as string },
    ])
    expect(await send('SET', 'k', 'x'.repeat(3_000))).toMatchObject([
      413,
      { error: expect.stringContaining('ERR max request size exceeded. Limit: 3000 bytes') as string },
    ])
    expect(await send('LRANGE', 'l', 0, -1)).toMatchObject([
      400,
      { error: expect.stringContaining('ERR max request size exceeded. Limit: 3000 bytes') as string },
    ])
    expect((await send('LRANGE', 'l', 0, 0))[0]).toBe(200)
    expect((await send('DEL', 'l'))[1]).toEqual({ result: 1 })
  })

  test('a full database rejects commands that add data, and answers reads and deletes', async () => {
    const { send } = await useUpstash({ maxDataBytes: 1 })
    for (const command of [
      ['SET', 'k', '1'],
      ['EVAL', "return redis.call('HSET', 'h', 'a', '1')", '0'],
    ])
      expect(await send(...command)).toMatchObject([
        400,
        { error: expect.stringContaining('ERR DB capacity quota exceeded') as string },
      ])
    expect([await send('GET', 'k'), await send('DEL', 'k')]).toEqual([
      [200, { result: null }],
      [200, { result: 0 }],
    ])
  })

  test('commands over the limits of the plan, per second or in total, are rejected', async () => {
    const fast = await useUpstash({ maxCommandsPerSecond: 3 })
    expect(
      (
        await fast.post(
          '/pipeline',
          Array.from({ length: 4 }, () => ['PING']),
        )
      )[0],
    ).toBe(429)
    const spent = await useUpstash({ maxCommands: 2 })
    for (let n = 0; n < 2; n++) expect((await spent.send('PING'))[0]).toBe(200)
    expect(await spent.send('PING')).toMatchObject([
      429,
      { error: expect.stringContaining('ERR max requests limit exceeded. Limit: 2, Usage: 3') as string },
    ])
  })
})
