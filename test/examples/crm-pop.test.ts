import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { app, route } from '../../examples/crm-pop.ts'
import { fromSqs } from '../../src/adapter/index.ts'
import type { Parked } from '../../src/protocol/index.ts'
import { formatPacket, formatSequence, type Notification } from '../../src/protocol/index.ts'
import { sqsEvent, sqsRecord } from '../adapter/factories.ts'
import { useEnv } from '../support/env.ts'
import { commitTo } from '../support/commit.ts'
import { useStore } from '../support/store.ts'

/** A CRM that pops each idempotency key once; `answer` sets how it answers. */
async function useCrm() {
  const crm = { pops: new Map<string, Record<string, unknown>>(), requests: 0, answer: 200 as number | 'hang', url: '' }
  const server = createServer((request, response) => {
    void (async () => {
      let body = ''
      for await (const chunk of request) body += String(chunk)
      crm.requests++
      if (crm.answer === 'hang') return
      const key = String(request.headers['idempotency-key'])
      if (crm.answer !== 200) return response.writeHead(crm.answer).end()
      const known = crm.pops.has(key)
      crm.pops.set(key, JSON.parse(body) as Record<string, unknown>)
      return response.writeHead(known ? 409 : 200).end()
    })()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  crm.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/pops`
  return crm
}

async function useCallFunction() {
  const crm = await useCrm()
  const { store } = await useStore()
  const parked: Parked[] = []
  useEnv({ CRM_URL: crm.url, CRM_TOKEN: 'crm-token' })
  const handler = fromSqs(app, {
    maxAgeMs: route.maxAgeMs,
    commit: commitTo(store, (one) => parked.push(one)),
    recall: store.recall,
    attempts: 10,
    postpone: async () => undefined,
  })
  return { crm, store, parked, handler }
}

const call = (agent: string, index: number, ageMs = 0): Notification => ({
  id: `main/p/5/${index}`,
  source: '/enigma/main',
  type: 'enigma.agents.call',
  subject: agent,
  time: new Date(Date.now() - ageMs).toISOString(),
  datacontenttype: 'application/json',
  data: formatPacket({
    type: 'call',
    payload: { ref: agent, call_ref: String(index), contact_ref: 'k', number: '27821234567' },
  }),
  transport: 'pubsub',
  channel: `enigma:notifications:agents:${agent}`,
  sequence: formatSequence(5, index),
})

test('a call pops in the CRM once, also when its message comes twice', async () => {
  const { crm, store, handler } = await useCallFunction()
  const event = sqsEvent(sqsRecord([call('1002', 1)], { messageId: 'a' }))
  expect((await handler(event)).batchItemFailures).toEqual([])
  expect((await handler(event)).batchItemFailures).toEqual([])
  expect([...crm.pops]).toEqual([
    ['main/p/5/1', expect.objectContaining({ agent: '1002', call_ref: '1', contact_ref: 'k', number: '27821234567' })],
  ])
  expect((await store.read.agent('1002'))?.call?.call_ref).toBe('1')
})

test('while the CRM is down the read model has both calls, and each call pops once after the CRM is back', async () => {
  const { crm, store, handler } = await useCallFunction()
  crm.answer = 503
  const pack = [call('1002', 1), call('1003', 2)]
  const first = await handler(sqsEvent(sqsRecord(pack, { messageId: 'a' })))
  expect(first.batchItemFailures).toEqual([{ itemIdentifier: 'a' }])
  expect((await store.read.agent('1002'))?.call?.call_ref).toBe('1')
  expect((await store.read.agent('1003'))?.call?.call_ref).toBe('2')
  crm.answer = 200
  expect((await handler(sqsEvent(sqsRecord(pack, { messageId: 'a', receiveCount: 2 })))).batchItemFailures).toEqual([])
  expect([...crm.pops.keys()].toSorted()).toEqual(['main/p/5/1', 'main/p/5/2'])
})

test('a pop that the CRM does not answer within the time limit is tried again', async () => {
  const { crm, handler } = await useCallFunction()
  crm.answer = 'hang'
  const { batchItemFailures } = await handler(sqsEvent(sqsRecord([call('1002', 1)], { messageId: 'a' })))
  expect(batchItemFailures).toEqual([{ itemIdentifier: 'a' }])
  expect(crm.requests).toBe(1)
})

test.each([408, 425, 429, 503])('a CRM that answers %i is asked again', async (answer) => {
  const { crm, parked, handler } = await useCallFunction()
  crm.answer = answer
  expect((await handler(sqsEvent(sqsRecord([call('1002', 1)], { messageId: 'a' })))).batchItemFailures).toEqual([
    { itemIdentifier: 'a' },
  ])
  expect(parked).toEqual([])
})

test('a replay sends a pop with a new idempotency key, so that the CRM does not ignore it', async () => {
  const { crm, handler } = await useCallFunction()
  const record = sqsRecord([call('1002', 1)], { messageId: 'a' })
  await handler(sqsEvent(record))
  const messageAttributes = { replay: { stringValue: 'r1' }, parked: { stringValue: 'p1' } }
  await handler(sqsEvent({ ...record, messageId: 'b', messageAttributes }))
  expect([...crm.pops.keys()]).toEqual(['main/p/5/1', 'main/p/5/1 r1'])
})

test('a stale call is recorded and pops nothing', async () => {
  const { crm, store, handler } = await useCallFunction()
  expect((await handler(sqsEvent(sqsRecord([call('1002', 1, 60_000)])))).batchItemFailures).toEqual([])
  expect(crm.requests).toBe(0)
  expect(await store.read.agent('1002')).toMatchObject({ call: null, calls: [{ stale: true }] })
})

test('a pop that the CRM rejects is parked with the reason and does not block the next call of the agent', async () => {
  const { crm, parked, handler } = await useCallFunction()
  crm.answer = 400
  expect((await handler(sqsEvent(sqsRecord([call('1002', 1), call('1002', 2)])))).batchItemFailures).toEqual([])
  expect(parked.map(({ notification, reason }) => [notification?.id, reason])).toEqual([
    ['main/p/5/1', expect.stringContaining('the CRM rejected the pop: 400')],
    ['main/p/5/2', expect.stringContaining('the CRM rejected the pop: 400')],
  ])
})
