import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { readBody } from '../../../src/protocol/index.ts'
import { reportAlive } from '../../../src/relay/notice.ts'
import { captureLog } from '../../support/log.ts'
import { agentChannel, statusOf } from '../../support/load.ts'
import { useProxy } from '../../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { useRelay, waitFor } from '../../support/relay.ts'
import { useSqsFaults } from '../../support/sqs-faults.ts'

test('a ready relay sends liveness messages repeatedly, each with a new id', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, aliveMs: 100 })
  await waitFor(() => sqs.signsOfLife.length >= 3, 'three signs of life')
  const [first, second] = await Promise.all(
    sqs.signsOfLife.map(async ({ entries }) => (await readBody(entries[0]?.MessageBody ?? '', undefined))[0]),
  )
  expect(first).toMatchObject({
    source: '/enigma/main',
    type: 'enigma.relay.alive',
    subject: 'test',
    transport: 'relay',
  })
  expect(JSON.parse(String(first?.data))).toEqual({
    type: 'alive',
    payload: { relay: 'test', sources: ['main'], lists: [], started: expect.stringMatching(/^20\d\d-.*Z$/) as string },
  })
  expect(second?.id).not.toBe(first?.id)
})

test(
  'a relay sends no new liveness message while it is not ready or SQS has not accepted the last one',
  { timeout: 60_000 },
  async () => {
    const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
    const [proxy, client] = [await useProxy(redis.port), await useRedisClient(redis.url)]
    const relay = await useRelay({ redisUrl: `redis://127.0.0.1:${proxy.port}`, endpoint: sqs.endpoint, aliveMs: 50 })
    await waitFor(() => sqs.signsOfLife.length >= 2, 'signs of life')
    const isReady = async () => (await fetch(`${relay.address}/readyz`)).status === 200

    sqs.state.answerSignOfLife = () => ({ status: 503, code: 'ServiceUnavailable' })
    await waitFor(async () => !(await isReady()), 'it to be not ready')
    const ids = new Set(sqs.signsOfLife.slice(-3).map(({ entries }) => entries[0]?.MessageDeduplicationId))
    await waitFor(() => sqs.signsOfLife.length > 5, 'the same sign to be tried again')
    expect(new Set(sqs.signsOfLife.slice(-2).map(({ entries }) => entries[0]?.MessageDeduplicationId)).size).toBe(1)
    expect(ids.has(sqs.signsOfLife.at(-1)?.entries[0]?.MessageDeduplicationId)).toBe(true)
    sqs.state.answerSignOfLife = () => 'accept'
    await waitFor(isReady, 'it to be ready again')

    // Not ready for another reason, while SQS would accept liveness messages.
    const silent = async () => {
      await new Promise((resolve) => setTimeout(resolve, 500))
      const before = sqs.signsOfLife.length
      await new Promise((resolve) => setTimeout(resolve, 1_500))
      expect(sqs.signsOfLife.length).toBe(before)
    }
    sqs.state.answer = () => ({ status: 503, code: 'ServiceUnavailable' })
    await client.publish(agentChannel(0), statusOf(0))
    await waitFor(async () => !(await isReady()), 'it to be not ready')
    await silent()
    sqs.state.answer = () => 'accept'
    await waitFor(isReady, 'it to be ready again')

    proxy.state.refuse = true
    proxy.cut()
    await waitFor(async () => !(await isReady()), 'it to be not ready', 20_000)
    await silent()
  },
)

test('liveness messages leave no listeners on the abort signal', async () => {
  const abort = new AbortController()
  let said = 0
  const most = { listeners: 0 }
  const alive = reportAlive(
    {
      relayId: 'test',
      sourceIds: ['main'],
      lists: [],
      startedMs: 0,
      everyMs: 1,
      isReady: () => {
        most.listeners = Math.max(most.listeners, getEventListeners(abort.signal, 'abort').length)
        return Promise.resolve(true)
      },
      nextNumber: () => Promise.resolve(++said),
      push: (item) =>
        said % 2 === 0 ? item.acknowledger.settle(item) : void item.acknowledger.park(item, 'refused', 'no'),
      log: captureLog().log,
      now: Date.now,
    },
    abort.signal,
  )
  await waitFor(() => said > 20, 'twenty signs of life')
  abort.abort()
  await alive
  expect(most.listeners).toBe(0)
})
