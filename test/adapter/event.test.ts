import { Hono } from 'hono'
import { expect, test } from 'vitest'
import { event, fromHttp, fromSqs, record, type AdapterEnv, type HandlerEvent } from '../../src/adapter/index.ts'
import { AgentStatus, toRequest, type Notification, type StandardSchema } from '../../src/protocol/index.ts'
import { cdr, notification, RECEIVED, sqsEvent, sqsRecord } from './factories.ts'
import { createWorld } from './world.ts'

const later = (ms: number) => () => Date.parse(RECEIVED) + ms

/** What `event(c)` gives in a handler behind SQS, and behind HTTP. */
async function hear(n: Notification, nowMs = 0): Promise<[HandlerEvent, HandlerEvent]> {
  const heard: HandlerEvent[] = []
  const app = new Hono().post('*', async (c) => {
    heard.push(await event(c))
    return c.body(null, 204)
  })
  const { options } = createWorld({ now: later(nowMs) })
  await fromSqs(app, options)(sqsEvent(sqsRecord([n])))
  await fromHttp(app, { ...options, verify: false })(toRequest(n))
  return heard as [HandlerEvent, HandlerEvent]
}

test('a handler receives the same event behind SQS and behind HTTP', async () => {
  const odd = notification('ü 1/2:😀%', 3, {
    payload: { status: 'busy', n: '😀' },
    traceparent: '00-1-2-01',
    reason: 'unknown_type',
  })
  for (const one of [
    odd,
    cdr(5, 1, { maxwaitms: 10 }),
    cdr(6, 2, { data: Uint8Array.of(0xff) }),
    cdr(7, 3, { data: 'not json', datacontenttype: 'text/plain' }),
  ]) {
    const [sqs, http] = await hear(one, 1000)
    expect(http).toEqual(sqs)
  }
})

test('an event has every attribute of its notification', async () => {
  const sent = notification('1002', 3, { reason: 'why' })
  const { data: _, ...attributes } = sent
  const [heard] = await hear(sent, 1500)
  expect(heard).toEqual({
    id: 'main/p/7/3',
    source: 'main',
    type: 'agents',
    subType: 'status',
    reference: '1002',
    time: RECEIVED,
    timeMs: Date.parse(RECEIVED),
    transport: 'pubsub',
    channel: 'enigma:notifications:agents:1002',
    sequence: '0000000000000007.0000000003',
    ageMs: 1500,
    stale: false,
    attempt: 1,
    lastAttempt: false,
    reason: 'why',
    payload: { status: 'available', ref: '1002', index: 3 },
    data: '{"type":"status","payload":{"status":"available","ref":"1002","index":3}}',
    attributes,
  })
})

test("the reference is the channel's, else the payload's ref with all its digits", async () => {
  const data = '{"type":"cdr","payload":{"ref":90071992547409931}}'
  expect((await hear(cdr(1, 1, { data })))[0].reference).toBe('90071992547409931')
  expect((await hear(cdr(1, 1, { payload: {} })))[0].reference).toBeUndefined()
})

test('a packet that is not JSON has no payload, only its text', async () => {
  expect((await hear(cdr(1, 1, { data: '{"a', datacontenttype: 'text/plain' })))[0]).toMatchObject({
    payload: undefined,
    data: '{"a',
  })
})

test('a call is stale if its age, with the time that it may have waited, exceeds the limit of its route', async () => {
  const call = (own: Partial<Notification>) => notification('1', 1, { type: 'enigma.agents.call', ...own })
  expect((await hear(call({}), 30_000)).map((one) => one.stale)).toEqual([false, false])
  expect((await hear(call({}), 30_001)).map((one) => one.stale)).toEqual([true, true])
  expect((await hear(call({ maxwaitms: 29_000 }), 2000)).map((one) => one.stale)).toEqual([true, true])
  expect((await hear(notification('1', 1), 1e9))[0].stale).toBe(false)
})

test('G6: a call that has waited in SQS for too long is stale, also when the clock of its relay was ahead', async () => {
  const heard: HandlerEvent[] = []
  const app = new Hono().post('*', async (c) => (heard.push(await event(c)), c.body(null, 204)))
  const handler = fromSqs(app, createWorld({ now: later(0) }).options)
  const ahead = notification('1', 1, { type: 'enigma.agents.call', time: new Date(later(3600_000)()).toISOString() })
  for (const waitedMs of [30_001, 30_000]) await handler(sqsEvent(sqsRecord([ahead], { sentMs: later(-waitedMs)() })))
  expect(heard.map(({ stale, ageMs }) => [stale, ageMs])).toEqual([
    [true, 30_001],
    [false, 30_000],
  ])
})

test('the option maxAgeMs overrides the route table, and a notification with an unreadable time is stale', async () => {
  const stale: boolean[] = []
  const app = new Hono().post('*', async (c) => (stale.push((await event(c)).stale), c.body(null, 204)))
  await fromSqs(app, createWorld({ maxAgeMs: 5, now: later(6) }).options)(sqsEvent(sqsRecord([notification('1', 1)])))
  const request = toRequest(notification('1', 1, { type: 'enigma.agents.call' }))
  request.headers.set('ce-time', 'yesterday')
  await app.fetch(request)
  expect(stale).toEqual([true, true])
})

test('attempt and lastAttempt follow the receive count', async () => {
  const heard: unknown[] = []
  const app = new Hono().post('*', async (c) => {
    const { attempt, lastAttempt } = await event(c)
    heard.push([attempt, lastAttempt])
    return c.body(null, 204)
  })
  const handler = fromSqs(app, createWorld({ attempts: 3 }).options)
  for (const receiveCount of [1, 2, 3, 4]) await handler(sqsEvent(sqsRecord([notification('1', 1)], { receiveCount })))
  expect(heard).toEqual([
    [1, false],
    [2, false],
    [3, true],
    [4, true],
  ])
})

test('event(c) works after a middleware has read the body, and can be called twice', async () => {
  const app = new Hono().post('*', async (c) => {
    await c.req.text()
    const [one, two] = [await event(c), await event(c, AgentStatus)]
    return c.json([one.id, two.payload.status])
  })
  expect(await (await app.fetch(toRequest(notification('1', 1)))).json()).toEqual(['main/p/7/1', 'available'])
})

test('a schema of any library is used, and a value that it quotes is not in the response', async () => {
  const schema: StandardSchema<string> = {
    '~standard': {
      version: 1,
      vendor: 'own',
      validate: async () => ({
        issues: [
          { message: 'expected a word, received "ZX-81"', path: [{ key: 'list' }, 0] },
          { message: 'too short', path: ['a'] },
        ],
      }),
    },
  }
  const app = new Hono().post('*', async (c) => c.text((await event(c, schema)).payload))
  const response = await app.fetch(toRequest(notification('1', 1, { payload: { list: ['ZX-81'] } })))
  expect(response.status).toBe(422)
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  expect(await response.json()).toMatchObject({
    status: 422,
    detail: 'payload.list.0 does not match the schema; payload.a: too short',
  })
})

test('a request that is not a CloudEvent is refused with the header that is missing', async () => {
  const app = new Hono().post('*', async (c) => c.json(await event(c)))
  const response = await app.request('/agents/status/1', { method: 'POST', body: '{}' })
  expect(response.status).toBe(400)
  expect(await response.json()).toMatchObject({ title: 'Not a CloudEvent', detail: 'the header ce-id is missing' })
})

test('record without an adapter throws an error that names the adapters', async () => {
  const app = new Hono<AdapterEnv<string>>().post('*', (c) => {
    record(c, 'x')
    return c.body(null, 204)
  })
  app.onError((error, c) => c.text(error.message, 500))
  expect(await (await app.fetch(toRequest(notification('1', 1)))).text()).toContain('outside fromSqs and fromHttp')
})
