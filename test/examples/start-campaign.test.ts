import { expect, onTestFinished, test } from 'vitest'
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { startCampaign } from '../../examples/start-campaign.ts'
import { app } from '../../functions/campaigns/status.ts'
import { fromSqs } from '../../src/adapter/index.ts'
import { formatPacket, formatSequence, type Notification } from '../../src/protocol/index.ts'
import { sqsEvent, sqsRecord } from '../adapter/factories.ts'
import { useChangingApi } from '../client/client-world.ts'
import { commitTo } from '../support/commit.ts'

/** How the dialler handles a request: it answers before it acts. */
type Dialler = { answer: number | 'cut'; states: readonly string[] }

/** A dialler's HTTP API, and all that its notifications go through: function, read model, API. */
async function useCallCentre() {
  const world = await useChangingApi({ confirmations: { pollMs: 5 } })
  const handle = fromSqs(app, {
    commit: commitTo(world.store),
    recall: world.store.recall,
    attempts: 10,
    postpone: async () => undefined,
  })
  let heard = 0
  const publish = async (ref: string, status: string) => {
    const index = ++heard
    const { batchItemFailures } = await handle(
      sqsEvent(sqsRecord([statusOf(ref, status, index)], { messageId: `m${index}` })),
    )
    expect(batchItemFailures).toEqual([])
  }
  const dialler: Dialler = { answer: 202, states: ['started'] }
  const requests: string[] = []
  const published: Promise<void>[] = []
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`)
    if (dialler.answer === 'cut') response.destroy()
    else response.writeHead(dialler.answer).end()
    if (dialler.answer !== 'cut' && dialler.answer >= 400) return
    published.push(
      (async () => {
        for (const state of dialler.states) await publish('7', state)
      })(),
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(async () => {
    server.closeAllConnections()
    server.close()
    await Promise.all(published)
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/start/7`
  const startIt = (waitMs?: number) =>
    startCampaign({
      client: world.client({ retries: 0 }),
      request: { url, method: 'POST' },
      campaign: '7',
      ...(waitMs === undefined ? {} : { waitMs }),
    })
  return { ...world, dialler, requests, publish, startIt }
}

const statusOf = (ref: string, status: string, index: number): Notification => ({
  id: `main/p/5/${index}`,
  source: '/enigma/main',
  type: 'enigma.campaigns.status',
  subject: ref,
  time: new Date().toISOString(),
  datacontenttype: 'application/json',
  data: formatPacket({ type: 'status', payload: { ref, status } }),
  transport: 'pubsub',
  channel: `enigma:notifications:campaigns:${ref}`,
  sequence: formatSequence(5, index),
})

test('a campaign counts as started only when the dialler confirms it after the request', async () => {
  const { startIt, publish, requests } = await useCallCentre()
  await publish('7', 'started')
  await publish('7', 'stopped')
  expect(await startIt()).toEqual({ result: 'started', notification: 'main/p/5/3' })
  expect(requests).toEqual(['POST /start/7'])
})

test('a campaign that cannot start fails with a reason, and a request that the dialler rejects fails at once', async () => {
  const { startIt, dialler } = await useCallCentre()
  dialler.states = ['completed']
  expect(await startIt()).toEqual({ result: 'failed', reason: expect.stringMatching(/nothing left to dial/) as string })
  dialler.answer = 409
  expect(await startIt()).toEqual({ result: 'failed', reason: 'the dialler answered 409' })
})

test('a request whose answer is lost is sent once, and a confirmation proves that it took effect', async () => {
  const { startIt, dialler, requests } = await useCallCentre()
  dialler.answer = 'cut'
  expect(await startIt()).toMatchObject({ result: 'started' })
  expect(requests).toHaveLength(1)
})

test('without a confirmation the result is unknown, with the present state', async () => {
  const { startIt, dialler, publish } = await useCallCentre()
  await publish('7', 'stopped')
  dialler.states = []
  expect(await startIt(100)).toEqual({
    result: 'unknown',
    reason: 'the dialler has not confirmed the request',
    state: 'stopped',
  })
})

test('no request is sent while the API is down; if the API stops during the wait, the result is unknown', async () => {
  const { startIt, dialler, requests, stop } = await useCallCentre()
  dialler.states = []
  const waiting = startIt(500)
  await expect.poll(() => requests.length).toBe(1)
  await stop()
  expect(await waiting).toMatchObject({ result: 'unknown', reason: expect.stringMatching(/is unavailable/) as string })
  await expect(startIt()).rejects.toMatchObject({ code: 'network' })
  expect(requests).toHaveLength(1)
})
