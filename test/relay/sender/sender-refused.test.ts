import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { readBody } from '../../../src/protocol/index.ts'
import { waitFor } from '../../support/relay.ts'
import { isInOrder, useSender } from '../../support/sender.ts'
import { useSqsFaults, type Answer, type WireRequest } from '../../support/sqs-faults.ts'
import { readNumbers } from '../../support/items.ts'

const MIB = 1024 * 1024
const isBad = (body: string) => body.includes('poison')

/** Refuses bad bodies as entries, as SQS does. */
const refuseEntriesSaying = (Message: string | number | null) => () => ({
  fail: (entry: { readonly MessageBody: string }) =>
    isBad(entry.MessageBody) ? { Code: 'InvalidMessageContents', SenderFault: true, Message } : undefined,
})
const refuseEntries = refuseEntriesSaying('not these characters')

/** Refuses the whole request for one bad body. */
const refuseRequests = ({ entries }: WireRequest) =>
  entries.some((entry) => isBad(entry.MessageBody))
    ? ({ status: 400, code: 'InvalidMessageContents' } as const)
    : 'accept'

/** Sends a pack of one lane with a bad notification in its middle, and packs of other lanes. */
async function sendPoisoned(answer: (request: WireRequest) => Answer | Promise<Answer>, inFlight = 4) {
  const server = await useSqsFaults()
  const use = useSender(server.sqs, { inFlight })
  const first = Promise.withResolvers<'accept'>()
  server.state.answer = () => first.promise
  for (let agent = 1_000; agent < 1_010; agent++) use.push(String(agent), 0)
  await waitFor(() => server.requests.length > 0, 'the first request')
  for (let n = 1; n <= 7; n++) {
    for (let agent = 1_000; agent < 1_010; agent++)
      use.push(String(agent), n, agent === 1_005 && n === 4 ? { word: 'poison' } : {})
  }
  server.state.answer = answer
  first.resolve('accept')
  await use.drained()
  return { server, ...use }
}

test.each([
  ['an entry', refuseEntries],
  ['an entry with the message null', refuseEntriesSaying(null)],
  ['an entry with a number as its message', refuseEntriesSaying(7)],
  ['the whole request', refuseRequests],
] as const)(
  'when SQS rejects %s for its contents, only the notification that caused it is parked, and all others are sent in order',
  async (_name, answer) => {
    const { server, parked, settled, metrics } = await sendPoisoned(answer)
    expect(parked).toEqual([
      { id: 'main/p/2005/4', reason: 'refused', detail: expect.stringContaining('InvalidMessageContents') as string },
    ])
    const numbers = server.accepted.flatMap((entry) => readNumbers(entry.MessageBody))
    expect(numbers).toHaveLength(79)
    expect(isInOrder(numbers)).toBe(true)
    expect(settled).toHaveLength(79)
    expect(await metrics.parked.get()).toMatchObject({ values: [{ value: 1, labels: { reason: 'refused' } }] })
  },
)

test('a rejected pack of 200 notifications is bisected: 18 requests at most isolate the one that caused it', async () => {
  const server = await useSqsFaults()
  const { push, drained, parked } = useSender(server.sqs)
  const first = Promise.withResolvers<'accept'>()
  server.state.answer = () => first.promise
  push('1000', 0)
  await waitFor(() => server.requests.length > 0, 'the first request')
  for (let n = 1; n <= 200; n++) push('1000', n, n === 130 ? { word: 'poison' } : {})
  server.state.answer = refuseEntries
  first.resolve('accept')
  await drained()
  expect(parked).toMatchObject([{ id: 'main/p/2000/130', reason: 'refused' }])
  expect(server.accepted.flatMap((entry) => readNumbers(entry.MessageBody)).map(({ n }) => n)).toEqual(
    Array.from({ length: 201 }, (_, n) => n).filter((n) => n !== 130),
  )
  // The first request, the pack, and two requests for each of eight bisections.
  expect(server.requests.length).toBeLessThanOrEqual(18)
})

test('a rejected request does not allow more requests in flight', async () => {
  const { server } = await sendPoisoned(async (request) => {
    await new Promise((resolve) => setTimeout(resolve, 5))
    return refuseRequests(request)
  }, 2)
  expect(server.state.mostInFlight).toBeLessThanOrEqual(2)
  expect(server.state.overlaps).toBe(0)
})

test('a parked notification is logged without its contents', async () => {
  const { lines, coded } = await sendPoisoned(refuseEntries)
  expect(coded('relay.parking.parked')).toHaveLength(1)
  expect(lines.join('')).not.toContain('poison')
})

test('a notification that is too large is gzipped, and arrives in order', async () => {
  const server = await useSqsFaults()
  const { push, drained, parked } = useSender(server.sqs)
  push('1000', 0)
  push('1000', 1, { padding: 'x'.repeat(3 * MIB) })
  push('1000', 2)
  await drained()
  const received = []
  for (const entry of server.accepted)
    received.push(...(await readBody(entry.MessageBody, entry.MessageAttributes?.['content-encoding']?.StringValue)))
  expect(received.map(({ id }) => id)).toEqual(['main/p/2000/0', 'main/p/2000/1', 'main/p/2000/2'])
  expect(String(received[1]?.data)).toHaveLength(
    3 * MIB + '{"type":"status","payload":{"ref":"1000","status":"busy","n":1,"padding":""}}'.length,
  )
  expect(parked).toEqual([])
})

test('a notification that is too large even when gzipped is parked, and its neighbours arrive', async () => {
  const server = await useSqsFaults()
  const { push, drained, parked } = useSender(server.sqs)
  push('1000', 0)
  push('1000', 1, { noise: randomBytes(2 * MIB).toString('base64') })
  push('1000', 2)
  await drained()
  expect(parked).toMatchObject([{ id: 'main/p/2000/1', reason: 'too_large' }])
  expect(server.accepted.flatMap((entry) => readNumbers(entry.MessageBody)).map(({ n }) => n)).toEqual([0, 2])
})

test.each([
  ['an entry', refuseEntries],
  ['the whole request', refuseRequests],
] as const)(
  'a rejection of %s is an answer: the route is not failing, and an outage before it is over',
  async (_name, answer) => {
    const server = await useSqsFaults()
    const { push, drained, parked, sender, coded } = useSender(server.sqs)
    server.state.answer = answer
    push('1000', 0, { word: 'poison' })
    await drained()
    expect([parked.length, sender.status.failingSince, coded('relay.sqs.unavailable').length]).toEqual([
      1,
      undefined,
      0,
    ])
    expect(sender.status.lastAnsweredMs).toBeGreaterThan(0)
    server.state.answer = () => ({ status: 503, code: 'ServiceUnavailable' })
    push('1000', 1, { word: 'poison' })
    await waitFor(() => sender.status.failingSince !== undefined, 'the outage to be known')
    expect(sender.status.problem).toContain('SQS cannot be reached')
    server.state.answer = answer
    await drained()
    expect([parked.length, sender.status.failingSince, sender.status.problem]).toEqual([2, undefined, undefined])
  },
)
