import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { receiveAll, waitFor } from '../../support/relay.ts'
import { isInOrder, useSender } from '../../support/sender.ts'
import { useSqs } from '../../support/sqs.ts'
import { useSqsFaults } from '../../support/sqs-faults.ts'
import { readNumbers } from '../../support/items.ts'

const AGENTS = Array.from({ length: 100 }, (_, n) => String(1_000 + n))

test('through a real SDK into fauxqs everything arrives once, each reference in order', async () => {
  const server = await useSqs()
  const { push, drained, settled } = useSender(server.sqs)
  for (let n = 0; n < 30; n++) for (const agent of AGENTS) push(agent, n)
  const received = await receiveAll(server, 'agents-status', 3_000)
  await drained()
  const numbers = received.map((event) => ({
    reference: event.subject ?? '',
    n: (JSON.parse(String(event.data)) as { payload: { n: number } }).payload.n,
  }))
  expect(new Set(received.map(({ id }) => id)).size).toBe(3_000)
  expect(isInOrder(numbers)).toBe(true)
  expect(new Set(settled)).toEqual(new Set(received.map(({ id }) => id)))
  expect(settled).toHaveLength(3_000)
})

test('a single notification is sent at once; notifications that gather meanwhile make the next pack', async () => {
  const server = await useSqsFaults()
  const { push, drained } = useSender(server.sqs)
  const held = Promise.withResolvers<'accept'>()
  server.state.answer = () => held.promise
  push('1000', 0)
  await waitFor(() => server.requests.length === 1, 'the first request')
  for (let n = 1; n <= 50; n++) push('1000', n)
  held.resolve('accept')
  await drained()
  expect(server.requests.map(({ entries }) => entries.map((entry) => readNumbers(entry.MessageBody).length))).toEqual([
    [1],
    [50],
  ])
})

test('up to ten lanes share a request', async () => {
  const server = await useSqsFaults()
  const { push, drained } = useSender(server.sqs)
  for (const agent of AGENTS) push(agent, 0)
  await drained()
  const lanes = new Set(server.accepted.map((entry) => entry.MessageGroupId)).size
  // Several are on their way at once, so the last one may overtake.
  const sizes = server.requests.map(({ entries }) => entries.length).toSorted((a, b) => b - a)
  expect(sizes).toEqual([...Array.from({ length: Math.floor(lanes / 10) }, () => 10), lanes % 10].filter(Boolean))
})

test('a request is never larger than the queue takes', async () => {
  const server = await useSqsFaults({ maxBytes: 100_000 })
  const { push, drained } = useSender(server.sqs)
  for (const agent of AGENTS) for (let n = 0; n < 4; n++) push(agent, n, { padding: 'x'.repeat(9_000) })
  await drained()
  for (const { entries } of server.requests) {
    expect(entries.reduce((sum, entry) => sum + Buffer.byteLength(entry.MessageBody), 0)).toBeLessThanOrEqual(100_000)
  }
  expect(server.accepted.flatMap((entry) => readNumbers(entry.MessageBody))).toHaveLength(400)
})

test('under load, requests in flight stay within the limit of the route, and a lane has at most one pack in flight', async () => {
  const server = await useSqsFaults()
  const { push, drained } = useSender(server.sqs, { inFlight: 3, packNotifications: 5 })
  server.state.answer = () => new Promise((resolve) => setTimeout(resolve, 2, 'accept'))
  for (let n = 0; n < 40; n++) for (const agent of AGENTS) push(agent, n)
  await drained()
  expect(server.state.mostInFlight).toBe(3)
  expect(server.state.overlaps).toBe(0)
  expect(isInOrder(server.accepted.flatMap((entry) => readNumbers(entry.MessageBody)))).toBe(true)
})

test('no two packs have the same deduplication id', async () => {
  const server = await useSqsFaults()
  const { push, drained } = useSender(server.sqs, { packNotifications: 3 })
  for (let n = 0; n < 20; n++) for (const agent of AGENTS) push(agent, n)
  await drained()
  const ids = server.requests.flatMap(({ entries }) => entries.map((entry) => entry.MessageDeduplicationId))
  expect(new Set(ids).size).toBe(ids.length)
})

test('a route that lingers gathers the notifications of that time into one pack', async () => {
  const server = await useSqsFaults()
  const { push, drained } = useSender(server.sqs, { lingerMs: 500, packNotifications: 10 })
  for (let n = 0; n < 4; n++) {
    push('1000', n)
    await sleep(10)
  }
  await drained()
  expect(server.accepted.map((entry) => readNumbers(entry.MessageBody).length)).toEqual([4])
})

test('lanes that become ready one after the other share a request of a route that lingers', async () => {
  const server = await useSqsFaults()
  const { push, drained } = useSender(server.sqs, { lingerMs: 500 })
  for (const agent of ['1000', '1001', '1002', '1003', '1004']) {
    push(agent, 0)
    await sleep(10)
  }
  await drained()
  const lanes = new Set(server.accepted.map((entry) => entry.MessageGroupId)).size
  expect(server.requests.map(({ entries }) => entries.length)).toEqual([lanes])
})

test('a route that lingers sends a full pack without waiting', async () => {
  const server = await useSqsFaults()
  const { push } = useSender(server.sqs, { lingerMs: 3_600_000, packNotifications: 10 })
  for (let n = 0; n < 10; n++) push('1000', n)
  await waitFor(() => server.accepted.length === 1, 'the pack')
})

test('stop waits for the request in flight, and sends no waiting notification', async () => {
  const server = await useSqsFaults()
  const { push, sender, settled } = useSender(server.sqs)
  const held = Promise.withResolvers<'accept'>()
  server.state.answer = () => held.promise
  push('1000', 0)
  await waitFor(() => server.requests.length === 1, 'the first request')
  push('1000', 1)
  const stopping = sender.stop(10_000)
  held.resolve('accept')
  await stopping
  expect(settled).toHaveLength(1)
  expect(sender.held).toBe(1)
  expect(server.requests).toHaveLength(1)
})

test('stop waits no longer than its deadline', async () => {
  // Without a time limit of the client's own: it would end the wait as well.
  const server = await useSqsFaults({ requestTimeoutMs: 3_600_000 })
  const { push, sender, settled } = useSender(server.sqs)
  server.state.answer = () => 'hang'
  push('1000', 0)
  await waitFor(() => server.requests.length === 1, 'the request')
  await sender.stop(20)
  expect(settled).toEqual([])
})
