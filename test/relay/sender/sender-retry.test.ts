import { DeleteQueueCommand } from '@aws-sdk/client-sqs'
import { expect, test } from 'vitest'
import type { Item } from '../../../src/relay/item.ts'
import { createQueues } from '../../../src/relay/targets/sqs/sqs-target.ts'
import { createAcknowledger, makeItem, readNumbers } from '../../support/items.ts'
import { receiveAll, waitFor } from '../../support/relay.ts'
import { ROUTES } from '../../support/routes.ts'
import { fastUplink, isInOrder, useSender } from '../../support/sender.ts'
import { useSqsFaults, type Answer } from '../../support/sqs-faults.ts'
import { useSqs } from '../../support/sqs.ts'

const AGENTS = Array.from({ length: 40 }, (_, n) => String(1_000 + n))

/** Answers `times` requests with `first`, then accepts. */
const timesThenAccept = (times: number, first: Answer) => {
  let left = times
  return (): Answer => (left-- > 0 ? first : 'accept')
}

test.each([
  ['is answered with 500', { status: 500, code: 'InternalError' }],
  ['is throttled', { status: 400, code: 'ThrottlingException' }],
  ['is denied', { status: 403, code: 'AccessDenied' }],
  ['meets expired credentials', { status: 403, code: 'ExpiredToken' }],
  ['has its connection cut', 'close'],
  ['is never answered', 'hang'],
] as const)(
  'a request that %s is retried unchanged, in order and with the same deduplication id',
  async (_name, fault) => {
    // Only a request that is never answered waits for the time limit. There, a slow answer on a busy machine is one more attempt.
    const isHanging = fault === 'hang'
    const limitMs = isHanging ? 100 : 5_000
    const server = await useSqsFaults({ requestTimeoutMs: limitMs })
    const { push, drained, settled, parked, metrics } = useSender(server.sqs, {}, fastUplink({ limitMs }))
    server.state.answer = timesThenAccept(2, fault)
    push('1000', 0)
    await waitFor(() => server.requests.length === 1, 'the first request')
    push('1000', 1)
    await drained()
    const sent = server.requests.map(({ entries }) =>
      entries.map((entry) => [entry.MessageDeduplicationId, entry.MessageBody]),
    )
    const again = sent.findIndex((entries) => entries[0]?.[0] !== sent[0]?.[0]?.[0])
    expect(sent.slice(0, again)).toEqual(Array.from({ length: isHanging ? Math.max(3, again) : 3 }, () => sent[0]))
    expect(sent.slice(again)).toEqual(Array.from({ length: isHanging ? sent.length - again : 1 }, () => sent[again]))
    expect(readNumbers(server.requests[again]?.entries[0]?.MessageBody ?? '').map(({ n }) => n)).toEqual([1])
    expect([settled.length, parked.length]).toEqual([2, 0])
    expect(await metrics.retried.get()).toMatchObject({ values: [{ value: sent.length - 2 }] })
  },
)

test('if the answer to an accepted request is lost, SQS recognizes the copy: each notification is there once', async () => {
  const server = await useSqsFaults()
  const { push, drained } = useSender(server.sqs)
  server.state.answer = timesThenAccept(3, 'lose')
  for (let n = 0; n < 20; n++) for (const agent of AGENTS) push(agent, n)
  await drained()
  const numbers = server.accepted.flatMap((entry) => readNumbers(entry.MessageBody))
  expect(numbers).toHaveLength(20 * AGENTS.length)
  expect(isInOrder(numbers)).toBe(true)
})

test('if one entry of a request fails, only that entry is sent again', async () => {
  const server = await useSqsFaults()
  const { push, drained } = useSender(server.sqs)
  let failedGroup: string | undefined
  server.state.answer = () => ({
    fail: (entry) => {
      if (failedGroup !== undefined) return undefined
      failedGroup = entry.MessageGroupId
      return { Code: 'InternalError', SenderFault: false }
    },
  })
  for (const agent of AGENTS.slice(0, 8)) push(agent, 0)
  await drained()
  const [first, second] = server.requests
  expect(first?.entries.length).toBeGreaterThan(4)
  expect(second?.entries).toEqual([
    { ...first?.entries.find((entry) => entry.MessageGroupId === failedGroup), Id: '0' },
  ])
  expect(server.requests).toHaveLength(2)
})

test('while one lane retries, the others continue', async () => {
  const server = await useSqsFaults()
  const { push, drained, settled } = useSender(server.sqs)
  let mended = false
  let unlucky = ''
  server.state.answer = ({ entries }) => {
    unlucky ||= entries[0]?.MessageGroupId ?? ''
    return {
      fail: (entry) =>
        !mended && entry.MessageGroupId === unlucky ? { Code: 'InternalError', SenderFault: false } : undefined,
    }
  }
  push('1000', 0)
  await waitFor(() => unlucky !== '', 'the lane to fail')
  const others = ['1001', '1002', '1003', '1004']
  for (let n = 1; n < 5; n++) for (const agent of ['1000', ...others]) push(agent, n)
  await waitFor(() => settled.length === 16, 'the others to arrive')
  mended = true
  await drained()
  expect(isInOrder(server.accepted.flatMap((entry) => readNumbers(entry.MessageBody)))).toBe(true)
})

test('under a cycle of faults nothing is lost or duplicated, and each reference stays in order', async () => {
  const server = await useSqsFaults({ requestTimeoutMs: 100 })
  const { push, drained, settled, parked } = useSender(
    server.sqs,
    { packNotifications: 4 },
    fastUplink({ limitMs: 100 }),
  )
  let turn = 0
  const faults: Answer[] = [
    'accept',
    { status: 500, code: 'InternalError' },
    'lose',
    'accept',
    'close',
    {
      fail: (entry) =>
        Number(entry.MessageGroupId) % 3 === turn % 3 ? { Code: 'InternalError', SenderFault: false } : undefined,
    },
    'accept',
  ]
  server.state.answer = () => (turn < 60 ? (faults[turn++ % faults.length] as Answer) : 'accept')
  for (let n = 0; n < 25; n++) for (const agent of AGENTS) push(agent, n)
  await drained(15_000)
  const numbers = server.accepted.flatMap((entry) => readNumbers(entry.MessageBody))
  expect(numbers).toHaveLength(25 * AGENTS.length)
  expect(isInOrder(numbers)).toBe(true)
  expect([settled.length, parked.length]).toEqual([25 * AGENTS.length, 0])
  expect([server.state.overlaps, server.state.mostInFlight <= 4]).toEqual([0, true])
})

test('an outage is logged once when it begins and once when it ends', async () => {
  const server = await useSqsFaults()
  // One request at a time: of two answers that cross, either may be read first.
  const { push, drained, coded, sender } = useSender(server.sqs, { inFlight: 1 })
  server.state.answer = timesThenAccept(12, { status: 503, code: 'ServiceUnavailable' })
  for (const agent of AGENTS) push(agent, 0)
  await waitFor(() => sender.status.failingSince !== undefined, 'the outage to be known')
  await drained()
  expect(coded('relay.sqs.unavailable')).toHaveLength(1)
  expect(coded('relay.sqs.recovered')).toHaveLength(1)
  expect(sender.status.failingSince).toBeUndefined()
})

test('during an outage a route sends one request at a time, with packs of many lanes; afterwards every lane continues', async () => {
  const server = await useSqsFaults()
  const { push, drained, sender } = useSender(server.sqs)
  server.state.answer = () => ({ status: 503, code: 'ServiceUnavailable' })
  for (let n = 0; n < 3; n++) for (const agent of AGENTS) push(agent, n)
  await waitFor(() => server.requests.length > 20, 'the outage to be known')
  const asked = server.requests.length
  server.state.mostInFlight = 0
  await waitFor(() => server.requests.length >= asked + 5, 'five more requests')
  const packs = server.requests.slice(asked).map(({ entries }) => entries.length)
  expect([server.state.mostInFlight, sender.status.failingSince === undefined]).toEqual([1, false])
  // If each lane retried alone, each request would hold one pack.
  expect(packs.reduce((sum, count) => sum + count)).toBeGreaterThan(2 * packs.length)
  server.state.answer = () => 'accept'
  await drained()
  expect(isInOrder(server.accepted.flatMap((entry) => readNumbers(entry.MessageBody)))).toBe(true)
})

test('one lane that fails alone holds up no other: the route does not rest', async () => {
  const server = await useSqsFaults()
  const { push, drained } = useSender(server.sqs, { inFlight: 1 })
  server.state.answer = ({ entries }) =>
    entries.some(({ MessageBody }) => MessageBody.includes('"1007"'))
      ? { status: 503, code: 'ServiceUnavailable' }
      : 'accept'
  push('1007', 0)
  await waitFor(() => server.requests.length > 5, 'it to be retried')
  const asked = server.requests.length
  push('1001', 0)
  await waitFor(() => server.accepted.length === 1, 'the other to be accepted')
  expect(server.requests.length - asked).toBeLessThanOrEqual(3)
  server.state.answer = () => 'accept'
  await drained()
})

test('a queue that is deleted and created again receives the notifications that waited for it', async () => {
  const server = await useSqs()
  const { push, drained, coded } = useSender(server.sqs)
  push('1000', 0)
  await drained()
  await server.sqs.send(new DeleteQueueCommand({ QueueUrl: server.url('agents-status') }))
  for (const n of [1, 2, 3]) push('1000', n)
  await waitFor(() => coded('relay.sqs.queue_missing').length > 0, 'it to be said')
  await createQueues(server.sqs, 'enigma-', ROUTES)
  await drained()
  expect((await receiveAll(server, 'agents-status', 3)).map(({ id }) => id)).toEqual([
    'main/p/2000/1',
    'main/p/2000/2',
    'main/p/2000/3',
  ])
})

test('a notification that waits during an outage keeps only its own bytes in memory, not the buffer of the connection', async () => {
  const server = await useSqsFaults()
  const { sender, push, drained } = useSender(server.sqs)
  const { acknowledger } = createAcknowledger()
  const settled: Item[] = []
  const chunk = Buffer.alloc(64 * 1024, ' ')
  const viewOf = (n: number) => {
    const item = makeItem({ ...acknowledger, settle: (one) => void settled.push(one) }, '1001', n)
    const data = item.data ?? Buffer.alloc(0)
    chunk.set(data)
    return { ...item, lane: 1, data: chunk.subarray(0, data.length) }
  }
  server.state.answer = () => ({ status: 503, code: 'ServiceUnavailable' })
  push('1000', 0)
  await waitFor(() => sender.status.failingSince !== undefined, 'the outage to be known')
  sender.push(viewOf(1))
  chunk.fill(' ')
  server.state.answer = () => 'accept'
  await drained()
  expect(settled.map(({ data }) => [data?.length, data?.buffer.byteLength === data?.length])).toEqual([
    [settled[0]?.data?.length, true],
  ])
  expect(server.accepted.flatMap((entry) => readNumbers(entry.MessageBody)).map(({ n }) => n)).toContain(1)
})

test('the notifications of a failing lane keep only their own bytes, not everything that the connection read with them', async () => {
  const server = await useSqsFaults()
  const { sender } = useSender(server.sqs)
  const { acknowledger } = createAcknowledger()
  const make = (reference: string, n: number): Item => {
    const item = makeItem(acknowledger, reference, n)
    const read = Buffer.allocUnsafeSlow(64 * 1024)
    return { ...item, data: read.subarray(0, read.write(Buffer.from(item.data as Uint8Array).toString())) }
  }
  const keptBytes = ({ data }: Item) => data?.buffer.byteLength
  const [stuck, other] = [make('1000', 0), make('1001', 0)]
  expect(stuck.lane).not.toBe(other.lane)
  server.state.answer = () => ({
    fail: ({ MessageGroupId }) =>
      MessageGroupId === String(stuck.lane) ? { Code: 'InternalError', SenderFault: false } : undefined,
  })
  const waiting = make('1000', 1)
  sender.push(stuck)
  sender.push(other)
  await waitFor(() => server.requests.length === 1, 'the first request')
  sender.push(waiting)
  await waitFor(() => server.requests.length === 2, 'its retry')
  const later = make('1000', 2)
  sender.push(later)
  for (const item of [stuck, waiting, later]) expect(keptBytes(item)).toBe(item.data?.byteLength)
  // What is accepted at once is not copied.
  expect(keptBytes(other)).toBe(64 * 1024)
})
