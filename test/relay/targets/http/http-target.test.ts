import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Webhook } from 'standardwebhooks'
import { expect, test } from 'vitest'
import type { Notification, Route } from '../../../../src/protocol/index.ts'
import type { TargetAccess } from '../../../../src/relay/targets/http/target-settings.ts'
import { useHttpTarget, type TargetAnswer, type TargetRequest } from '../../../support/http-target.ts'
import { waitFor } from '../../../support/relay.ts'
import { useReservedPort } from '../../../support/reserved-port.ts'
import { fastUplink, httpTargetOf, isInOrder, useSender } from '../../../support/sender.ts'

const AGENTS = Array.from({ length: 40 }, (_, n) => String(1_000 + n))

const numbersOf = (events: readonly Notification[]) =>
  events.map((event) => ({
    reference: event.subject ?? '',
    n: (JSON.parse(String(event.data)) as { payload: { n: number } }).payload.n,
  }))

/** A sender to a server of the test's own. */
async function useTarget({ access, ...own }: Partial<Route> & { access?: TargetAccess } = {}, limitMs = 5_000) {
  const server = await useHttpTarget()
  const sending = useSender((route) => httpTargetOf(route, server.url, access), own, fastUplink({ limitMs }))
  return { server, ...sending }
}

const attemptOf = ({ headers }: TargetRequest) => headers['ce-attempt']
const isRedelivery = ({ headers }: TargetRequest) => headers['ce-redelivery'] === 'true'
const nOf = ({ events }: TargetRequest) => numbersOf(events).map(({ n }) => n)

/** Answers `times` requests with `first`, then finishes every notification. */
const timesThenDone = (times: number, first: TargetAnswer) => {
  let left = times
  return (): TargetAnswer => (left-- > 0 ? first : 'done')
}

test('everything arrives once, each reference in order, as batches of CloudEvents at the address as given', async () => {
  const { server, push, drained, settled } = await useTarget()
  for (let n = 0; n < 30; n++) for (const agent of AGENTS) push(agent, n)
  await drained()
  expect(isInOrder(numbersOf(server.finished))).toBe(true)
  expect(new Set(server.finished.map(({ id }) => id)).size).toBe(1_200)
  expect([server.finished.length, settled.length]).toEqual([1_200, 1_200])
  const [first] = server.requests as [TargetRequest]
  expect(first.path).toBe('/enigma?stage=test')
  expect(first.headers).toMatchObject({
    'content-type': 'application/cloudevents-batch+json; charset=utf-8',
    'ce-attempt': '1',
    'ce-route': 'agents-status',
  })
  expect(server.requests.filter(isRedelivery)).toEqual([])
  expect(first.body[0]).toBe('['.charCodeAt(0))
  // Several lanes share a request.
  expect(server.requests.length).toBeLessThan(1_200 / 10)
})

test('a notification that the server asks for again is sent alone as the next attempt, before the rest of its lane', async () => {
  const { server, push, drained, settled, attempts } = await useTarget()
  const held = Promise.withResolvers<TargetAnswer>()
  server.state.answer = ({ events }) =>
    server.requests.length === 1
      ? held.promise
      : { outcome: ({ id }) => (server.requests.length === 2 && id === events[1]?.id ? { after: 0.05 } : undefined) }
  push('1000', 0)
  await waitFor(() => server.requests.length === 1, 'the first request')
  for (const n of [1, 2, 3]) push('1000', n)
  held.resolve('done')
  await waitFor(() => server.requests.length === 2, 'the second request')
  push('1000', 4)
  await drained()
  expect(server.requests.map(nOf)).toEqual([[0], [1, 2, 3], [2], [4]])
  expect(server.requests.map(attemptOf)).toEqual(['1', '1', '2', '1'])
  expect(server.requests.map(isRedelivery)).toEqual([false, false, true, false])
  expect(attempts).toEqual([{ id: 'main/p/2000/2', attempt: 2 }])
  expect(settled).toEqual([0, 1, 3, 2, 4].map((n) => `main/p/2000/${n}`))
})

test('a notification that is asked for again holds back its own lane only', async () => {
  const { server, push, drained, settled, sender } = await useTarget()
  let mended = false
  server.state.answer = () => ({
    outcome: ({ subject }) => (subject === '1000' && !mended ? { after: 0.02 } : undefined),
  })
  for (let n = 0; n < 5; n++) for (const agent of ['1000', '1001', '1002', '1003']) push(agent, n)
  await waitFor(() => settled.length >= 15, 'the others')
  await waitFor(() => Number(server.requests.at(-1)?.headers['ce-attempt']) >= 4, 'more attempts')
  expect(sender.status.failingSince).toBeUndefined()
  mended = true
  await drained()
  expect(isInOrder(numbersOf(server.finished))).toBe(true)
  expect(server.finished).toHaveLength(20)
})

test('packs of different attempts go in different requests, and a later pack is a first attempt', async () => {
  const { server, push, drained } = await useTarget({ inFlight: 1 })
  const failed = new Set<string>()
  server.state.answer = () => ({
    outcome: ({ id, subject }) => {
      if (Number(subject) % 2 === 1 || failed.has(id)) return undefined
      failed.add(id)
      return 'retry'
    },
  })
  for (let n = 0; n < 3; n++) for (const agent of AGENTS) push(agent, n)
  await drained()
  for (const request of server.requests) {
    const isSecond = request.events.map(
      ({ id }) =>
        failed.has(id) && server.requests.find(({ events }) => events.some((one) => one.id === id)) !== request,
    )
    expect(new Set(isSecond).size, 'attempts in a request').toBe(1)
    expect(attemptOf(request)).toBe(isSecond[0] === true ? '2' : '1')
  }
  expect(isInOrder(numbersOf(server.finished))).toBe(true)
})

test('the relay waits as long as the server asks, and does not count this as a stall', async () => {
  const { server, push, drained, sender } = await useTarget()
  const times: number[] = []
  server.state.answer = () => {
    times.push(performance.now())
    return times.length === 1 ? { outcome: () => ({ after: 0.4 }) } : 'done'
  }
  push('1000', 0)
  await waitFor(() => times.length === 1, 'the first attempt')
  const before = sender.progressMs
  await sleep(200)
  expect(sender.progressMs).toBeGreaterThan(before)
  await drained()
  expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(399)
})

test('a notification that the functions parked is settled', async () => {
  const { server, push, drained, settled, parked } = await useTarget()
  server.state.answer = () => ({ outcome: () => 'parked' })
  push('1000', 0)
  await drained()
  expect([settled.length, parked.length]).toEqual([1, 0])
})

test.each([
  ['of another length', JSON.stringify({ outcomes: [] })],
  ['of other ids', JSON.stringify({ outcomes: [{ id: 'main/p/1/1', outcome: 'done' }] })],
  ['of an unknown outcome', JSON.stringify({ outcomes: [{ id: 'main/p/2000/0', outcome: 'maybe' }] })],
  ['that are no JSON', '<html>'],
])('outcomes %s settle nothing', async (_name, body) => {
  const { server, push, drained, settled, coded } = await useTarget()
  const headers = { 'content-type': 'application/vnd.enigma-relay.outcomes+json' }
  server.state.answer = timesThenDone(2, { status: 200, headers, body })
  push('1000', 0)
  await waitFor(() => server.requests.length === 2, 'another try')
  expect(settled).toEqual([])
  await drained()
  expect(server.requests.map(attemptOf)).toEqual(['1', '1', '1'])
  expect(coded('relay.target.foreign_answer')).toHaveLength(1)
  expect(coded('relay.target.recovered')).toHaveLength(1)
})

test.each([
  [401, 'relay.target.unauthorized', /ENIGMA_TARGET_SECRET or ENIGMA_TARGET_TOKEN/],
  [403, 'relay.target.forbidden', /allow the relay/],
  [404, 'relay.target.not_found', /correct the path in ENIGMA_TARGET_AGENTS_STATUS/],
  [
    308,
    'relay.target.redirected',
    /set ENIGMA_TARGET_AGENTS_STATUS to the address it names, https:\/\/example\.com\/new;/,
  ],
  [400, 'relay.target.rejected', /is the address of the functions/],
  [429, 'relay.target.throttled', /raise the limit/],
  [500, 'relay.target.unavailable', /log of the server/],
  [503, 'relay.target.unavailable', /log of the server/],
] as const)(
  'an answer of %i is an outage: order is kept, no attempt is used up, and nothing is parked',
  async (status, code, words) => {
    const { server, push, drained, settled, parked, coded, sender } = await useTarget()
    let isOut = true
    server.state.answer = () =>
      isOut ? { status, headers: { location: 'https://example.com/new?token=secret' } } : 'done'
    push('1000', 0)
    await waitFor(() => server.requests.length >= 3, 'some tries')
    push('1000', 1)
    expect(sender.status.problem).toMatch(words)
    expect(sender.status.problem).not.toContain('token=')
    isOut = false
    await drained()
    expect(new Set(server.requests.map(attemptOf))).toEqual(new Set(['1']))
    expect(isRedelivery(server.requests[0] as TargetRequest)).toBe(false)
    expect(server.requests.slice(1, 3).map(isRedelivery)).toEqual([true, true])
    expect(isInOrder(numbersOf(server.finished))).toBe(true)
    expect([settled.length, parked.length]).toEqual([2, 0])
    expect(coded(code)).toHaveLength(1)
    expect(coded(code)[0]).toMatchObject({ target: server.url.replace(/\?.*/, ''), route: 'agents-status' })
    expect(coded('relay.target.recovered')).toHaveLength(1)
  },
)

test('Retry-After is honoured', async () => {
  const { server, push, drained } = await useTarget()
  const times: number[] = []
  server.state.answer = () => {
    times.push(performance.now())
    return times.length === 1 ? { status: 503, headers: { 'retry-after': '1' } } : 'done'
  }
  push('1000', 0)
  await drained()
  expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(999)
})

test.each([202, 204])('%i accepts every notification of the request', async (status) => {
  const { server, push, drained, settled } = await useTarget()
  server.state.answer = () => ({ status })
  for (const agent of AGENTS) push(agent, 0)
  await drained()
  expect(settled).toHaveLength(AGENTS.length)
  expect(server.finished).toHaveLength(AGENTS.length)
})

test('if a pack is refused (422), only the notification that caused it is parked, and the others are sent in order', async () => {
  const { server, push, drained, settled, parked } = await useTarget()
  const held = Promise.withResolvers<TargetAnswer>()
  const isBad = ({ events }: TargetRequest) =>
    numbersOf(events).some(({ reference, n }) => reference === '1000' && n === 3)
  const headers = { 'content-type': 'application/problem+json' }
  const body = JSON.stringify({ title: 'Unprocessable', detail: 'the status of 27821234567 is not known' })
  server.state.answer = (request) =>
    server.requests.length === 1 ? held.promise : isBad(request) ? { status: 422, headers, body } : 'done'
  push('1001', 0)
  await waitFor(() => server.requests.length === 1, 'the first request')
  for (let n = 0; n < 8; n++) for (const agent of ['1000', '1002']) push(agent, n)
  held.resolve('done')
  await drained()
  expect(parked).toMatchObject([{ id: 'main/p/2000/3', reason: 'refused' }])
  expect(parked[0]?.detail).toMatch(/HTTP 422: Unprocessable/)
  expect(parked[0]?.detail).not.toContain('27821234567')
  expect(settled).toHaveLength(16)
  expect(isInOrder(numbersOf(server.finished))).toBe(true)
})

test('a request that is too large (413) is made smaller, and a notification that is too large alone is parked', async () => {
  const { server, push, drained, settled, parked, coded } = await useTarget()
  server.state.answer = ({ body }) => (body.length > 20_000 ? { status: 413 } : 'done')
  for (let n = 0; n < 4; n++)
    for (const agent of AGENTS) push(agent, n, { padding: 'x'.repeat(n === 2 && agent === '1005' ? 30_000 : 3_000) })
  await drained(20_000)
  expect(parked).toMatchObject([{ id: 'main/p/2005/2', reason: 'too_large' }])
  expect(settled).toHaveLength(4 * AGENTS.length - 1)
  expect(isInOrder(numbersOf(server.finished))).toBe(true)
  expect(coded('relay.target.smaller_requests').length).toBeGreaterThan(0)
})

test('a notification over 4 MiB is parked without being sent, and nothing is ever gzipped', async () => {
  const { server, push, drained, parked, settled } = await useTarget()
  push('1000', 0, { padding: 'x'.repeat(4 * 1024 * 1024) })
  push('1000', 1, { padding: 'y'.repeat(3 * 1024 * 1024) })
  await drained()
  expect(parked).toEqual([
    { id: 'main/p/2000/0', reason: 'too_large', detail: 'more than the 4194288 bytes of a request' },
  ])
  expect(settled).toEqual(['main/p/2000/1'])
  expect(
    server.requests.map(({ headers, body }) => [headers['content-encoding'], body.length < 4 * 1024 * 1024]),
  ).toEqual([[undefined, true]])
})

test('after a refused connection the error hints at TLS and the request is no redelivery; after a lost answer it is a redelivery', async () => {
  const port = await useReservedPort()
  const sending = useSender((route) => httpTargetOf(route, `http://127.0.0.1:${port}/`))
  sending.push('1000', 0)
  await waitFor(() => sending.coded('relay.target.unreachable').length === 1, 'it to be said')
  expect(sending.sender.status.problem).toMatch(/write https:\/\/ if this port requires TLS/)
  const late = await useHttpTarget(undefined, port)
  await sending.drained()
  expect(late.requests.map(isRedelivery)).toEqual([false])
  const { server, push, drained } = await useTarget()
  server.state.answer = timesThenDone(1, 'lose')
  push('1000', 0)
  await drained()
  expect(server.requests.map(isRedelivery)).toEqual([false, true])
  expect(server.requests.map(attemptOf)).toEqual(['1', '1'])
})

test.each(['close', 'lose', 'hang'] as const)(
  'after requests that meet "%s" every notification arrives, in order',
  async (fault) => {
    const { server, push, drained, settled } = await useTarget({ timeoutSeconds: 0 }, fault === 'hang' ? 200 : 5_000)
    server.state.answer = timesThenDone(3, fault)
    for (let n = 0; n < 10; n++) for (const agent of AGENTS) push(agent, n)
    await drained()
    expect(new Set(server.finished.map(({ id }) => id)).size).toBe(400)
    expect(settled).toHaveLength(400)
    const seen = new Set<string>()
    // Copies may come later.
    expect(isInOrder(numbersOf(server.finished.filter(({ id }) => !seen.has(id) && seen.add(id))))).toBe(true)
  },
)

test('a request that takes as long as functions may is neither probed nor aborted', async () => {
  const { server, push, drained } = await useTarget({ timeoutSeconds: 10 }, 500)
  server.state.answer = async (): Promise<TargetAnswer> => {
    await sleep(2_500)
    return 'done'
  }
  push('1000', 0)
  await drained()
  expect(server.requests).toHaveLength(1)
})

test('a request that hangs for longer is probed with a copy that is marked as a redelivery, and the answer to the copy counts', async () => {
  const { server, push, drained, settled } = await useTarget({ timeoutSeconds: 1 }, 60_000)
  server.state.answer = timesThenDone(1, 'hang')
  push('1000', 0)
  await drained()
  expect(server.requests.map(nOf)).toEqual([[0], [0]])
  expect(server.requests.map(isRedelivery)).toEqual([false, true])
  expect(settled).toHaveLength(1)
})

const SECRETS = [randomBytes(32), randomBytes(24)].map((bytes) => `whsec_${bytes.toString('base64')}`) as [
  string,
  string,
]

const verify = ({ headers, body }: TargetRequest, secret: string) =>
  new Webhook(secret).verify(body.toString(), headers as Record<string, string>)

test('the reference library of Standard Webhooks verifies each request with both secrets of a rotation', async () => {
  const { server, push, drained } = await useTarget({ access: { secret: SECRETS.join(', '), token: 'of-the-test' } })
  push('1000', 0, { name: 'Zoë 😀' })
  await drained()
  const [request] = server.requests as [TargetRequest]
  for (const secret of SECRETS) expect(verify(request, secret)).toHaveLength(1)
  expect(() => verify(request, `whsec_${randomBytes(32).toString('base64')}`)).toThrow('No matching signature')
  expect(request.headers.authorization).toBe('Bearer of-the-test')
  const changed = { ...request, body: Buffer.from(request.body.toString().replace('main', 'mine')) }
  expect(() => verify(changed, SECRETS[0])).toThrow('No matching signature')
})

test('the id of a message is the same for the same notifications, and another for others', async () => {
  const { server, push, drained } = await useTarget({ access: { secret: SECRETS[0] } })
  server.state.answer = timesThenDone(1, { status: 500 })
  push('1000', 0)
  await drained()
  push('1000', 1)
  await drained()
  const ids = server.requests.map(({ headers }) => headers['webhook-id'])
  expect(ids[0]).toBe(ids[1])
  expect(ids[2]).not.toBe(ids[0])
})

test('while a server rejects the signature nothing is parked; once it accepts it, every notification arrives', async () => {
  const { server, push, drained, parked, coded } = await useTarget({ access: { secret: SECRETS[0] } })
  let known = SECRETS[1]
  server.state.answer = (request) => {
    try {
      verify(request, known)
      return 'done'
    } catch {
      return { status: 401 }
    }
  }
  for (const agent of AGENTS) push(agent, 0)
  await waitFor(() => coded('relay.target.unauthorized').length === 1, 'it to be said')
  known = SECRETS[0]
  await drained()
  expect([server.finished.length, parked.length]).toEqual([AGENTS.length, 0])
})
