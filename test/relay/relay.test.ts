import { expect, test } from 'vitest'
import { formatPacket } from '../../src/protocol/index.ts'
import { useProxy } from '../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { receiveAll, useRelay, waitFor } from '../support/relay.ts'
import { useSqs } from '../support/sqs.ts'
import { useSqsFaults } from '../support/sqs-faults.ts'

test('published and pushed packets arrive in their queues, byte for byte', async () => {
  const redis = await useRedisServer()
  const sqs = await useSqs()
  const client = await useRedisClient(redis.url)
  await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: ['enigma:notifications:campaigns'] })
  const status = '{"type":"status", "payload":{"ref":"1002","status":"available","n":12345678901234567890}}'
  await client.publish('enigma:notifications:agents:1002', status)
  const cdr = formatPacket({ type: 'cdr', payload: { call_ref: 7, dialed_at: 1764000000, number: '27821234567' } })
  await client.lPush('enigma:notifications:campaigns', cdr)
  const [heard] = await receiveAll(sqs, 'agents-status', 1)
  expect(heard).toMatchObject({
    source: '/enigma/main',
    type: 'enigma.agents.status',
    subject: '1002',
    transport: 'pubsub',
    data: status,
  })
  const [taken] = await receiveAll(sqs, 'campaigns-cdr', 1)
  expect(taken).toMatchObject({
    type: 'enigma.campaigns.cdr',
    transport: 'list',
    channel: 'enigma:notifications:campaigns',
    data: cdr,
  })
  expect(await client.lLen('enigma:notifications:campaigns')).toBe(0)
})

test('a request that SQS never answers is retried', async () => {
  const redis = await useRedisServer()
  const sqs = await useSqsFaults()
  const client = await useRedisClient(redis.url)
  let hanging = 2
  sqs.state.answer = () => (hanging-- > 0 ? 'hang' : 'accept')
  await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, requestTimeoutMs: 50 })
  await client.publish(
    'enigma:notifications:agents:1002',
    formatPacket({ type: 'status', payload: { status: 'busy' } }),
  )
  await waitFor(() => sqs.accepted.length === 1, 'it to be accepted')
  expect(sqs.requests).toHaveLength(3)
})

test('a stopped relay leaves no timer that would keep the process alive', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqs()]
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  await new Promise((resolve) => setTimeout(resolve, 10))
  const before = timers()
  const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, shutdownMs: 120_000 })
  await relay.stop()
  // The shortest timer that was ever left behind ran for three seconds.
  await waitFor(() => timers() <= before, 'its timers to end', 2_000)
})

test('a queue that is looked up while SQS does not answer is found once SQS answers again', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const [client, proxy] = [await useRedisClient(redis.url), await useProxy(sqs.port)]
  // Requests sent now are never answered, even after SQS has recovered.
  proxy.state.halfOpen = true
  await useRelay({ redisUrl: redis.url, endpoint: `http://127.0.0.1:${proxy.port}`, requestTimeoutMs: 200 })
  await client.publish(
    'enigma:notifications:agents:1002',
    formatPacket({ type: 'status', payload: { status: 'busy' } }),
  )
  await new Promise((resolve) => setTimeout(resolve, 300))
  proxy.state.halfOpen = false
  await waitFor(() => sqs.accepted.length === 1, 'it to be accepted')
})
