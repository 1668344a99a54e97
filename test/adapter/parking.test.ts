import { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { expect, test } from 'vitest'
import { event, fromSqs, record, type AdapterEnv } from '../../src/adapter/index.ts'
import { AgentStatus } from '../../src/protocol/index.ts'
import { notification, QUEUE_ARN, RECEIVED, sqsEvent, sqsRecord } from './factories.ts'
import { createScene, createWorld, ids } from './world.ts'

test('a poison is parked at once with its reason, and its neighbours are done once', async () => {
  const scene = createScene((_, index) => (index === 2 ? 400 : 204))
  const pack = [notification('A', 1), notification('A', 2), notification('A', 3), notification('B', 4)]
  expect(await scene.failed(sqsEvent(sqsRecord(pack)))).toEqual([])
  expect(scene.ran.toSorted()).toEqual(ids(1, 2, 3, 4))
  expect(scene.parked).toEqual([
    {
      notification: pack[1],
      reason: '400: answered 400',
      status: 400,
      attempts: 1,
      handler: 'agents/status',
      messageId: 'm1',
      messageGroupId: '5',
      eventSourceARN: QUEUE_ARN,
      firstReceivedAt: RECEIVED,
    },
  ])
})

test.each([400, 401, 404, 409, 410, 422, 302])('%i parks', async (status) => {
  const scene = createScene(() => status)
  expect(await scene.failed(sqsEvent(sqsRecord([notification('A', 1)])))).toEqual([])
  expect(scene.parked).toMatchObject([{ status }])
})

test.each([
  ['lists', '['.repeat(30_000) + ']'.repeat(30_000)],
  ['objects', '{"a":'.repeat(30_000) + '1' + '}'.repeat(30_000)],
  ['lists with a number that has to stay exact', `${'['.repeat(30_000)}1.10${']'.repeat(30_000)}`],
])('G7: a packet of %s in each other, too deep for any handler, is parked alone', async (_, value) => {
  const { options, parked, commits } = createWorld<string>()
  const app = new Hono<AdapterEnv<string>>().post('*', async (c) => {
    const { payload } = await event(c, AgentStatus)
    record(c, JSON.stringify(payload))
    return c.body(null, 204)
  })
  const data = `{"type":"status","payload":{"status":"busy","ref":"A","x":${value}}}`
  const pack = [notification('A', 1, { data }), notification('B', 2)]
  expect(await fromSqs(app, options)(sqsEvent(sqsRecord(pack)))).toEqual({ batchItemFailures: [] })
  expect(parked).toMatchObject([
    { notification: { data }, status: 422, reason: '422: the packet is nested deeper than 500 levels' },
  ])
  expect(commits).toMatchObject([{ effects: [expect.stringContaining('"status"')] }])
})

test('the next of the reference waits until the park is done', async () => {
  const steps: string[] = []
  const world = createWorld({
    park: async () => {
      await new Promise((resolve) => setImmediate(resolve))
      steps.push('parked')
    },
  })
  const app = new Hono().post('*', async (c) => {
    const { id } = await event(c)
    steps.push(id)
    return id.endsWith('/1') ? c.text('no', 400) : c.body(null, 204)
  })
  await fromSqs(app, world.options)(sqsEvent(sqsRecord([notification('A', 1), notification('A', 2)])))
  expect(steps).toEqual(['main/p/7/1', 'parked', 'main/p/7/2'])
})

test('a park that fails is a retry, also on the last attempt: the later ones of its reference wait', async () => {
  for (const receiveCount of [1, 10]) {
    const scene = createScene((_, index) => (index === 1 ? 400 : 204), {
      park: () => Promise.reject(new Error('no queue')),
    })
    const first = sqsRecord([notification('A', 1), notification('B', 2)], { messageId: 'm1', receiveCount })
    expect(await scene.failed(sqsEvent(first, sqsRecord([notification('A', 3)], { messageId: 'm2' })))).toEqual([
      'm1',
      'm2',
    ])
    expect(scene.ran.toSorted()).toEqual(ids(1, 2))
    expect(scene.commits[0]?.done).toEqual(new Map([['m1', ids(2)]]))
  }
})

test('a message that holds no CloudEvents is parked whole with its bytes, and its neighbours run', async () => {
  const bodies = ['not json', '{"specversion":"1.0"}', '[]', '[1]', '']
  const scene = createScene()
  const records = bodies.map((body, index) => sqsRecord(body, { messageId: `m${index}` }))
  const gzip = sqsRecord('@@@', { messageId: 'm9', encoding: 'gzip' })
  expect(
    await scene.failed(sqsEvent(...records, gzip, sqsRecord([notification('A', 1)], { messageId: 'ok' }))),
  ).toEqual([])
  expect(scene.parked.map((one) => one.body)).toEqual([...bodies, '@@@'])
  expect(scene.parked[0]).toEqual({
    body: 'not json',
    reason: 'the body is not JSON',
    attempts: 1,
    messageId: 'm0',
    messageGroupId: '5',
    eventSourceARN: QUEUE_ARN,
    firstReceivedAt: RECEIVED,
  })
  expect(scene.parked[5]).toMatchObject({
    contentEncoding: 'gzip',
    reason: expect.stringContaining('not gzip in base64'),
  })
  expect(scene.ran).toEqual(ids(1))
})

test('a foreign event of which no request can be made is parked at once', async () => {
  const scene = createScene()
  const body = JSON.stringify({
    specversion: '1.0',
    id: '1',
    source: 's',
    type: 'foreign',
    datacontenttype: 'a\nb',
    data: 1,
  })
  expect(await scene.failed(sqsEvent(sqsRecord(body), sqsRecord([notification('A', 1)], { messageId: 'ok' })))).toEqual(
    [],
  )
  expect(scene.parked).toMatchObject([
    { notification: { id: '1' }, reason: expect.stringContaining('invalid header value'), attempts: 1 },
  ])
  expect(scene.ran).toEqual(ids(1))
})

test('a message that can neither be read nor parked comes again', async () => {
  const scene = createScene(() => 204, { park: () => Promise.reject(new Error('no queue')) })
  expect(await scene.failed(sqsEvent(sqsRecord('not json')))).toEqual(['m1'])
})

test('a missing route is said as such, without the reference', async () => {
  const world = createWorld()
  const app = new Hono().post('/agents/call/:ref?', (c) => c.body(null, 204))
  await fromSqs(app, world.options)(sqsEvent(sqsRecord([notification('1002', 1)])))
  expect(world.parked).toMatchObject([{ status: 404, reason: '404: the app has no route for POST /agents/status' }])
})

test('a payload that does not fit its schema is parked with the name of the field and without its value', async () => {
  const world = createWorld()
  const app = new Hono().post('/agents/status/:ref?', async (c) => c.json((await event(c, AgentStatus)).payload))
  const pack = [
    notification('A', 1, { payload: { status: { secret: 'JONES' } } }),
    notification('A', 2, { payload: { status: '' } }),
    notification('A', 3, { data: 'x', datacontenttype: 'text/plain' }),
  ]
  await fromSqs(app, world.options)(sqsEvent(sqsRecord(pack)))
  expect(world.parked.map((one) => one.status)).toEqual([422, 422, 422])
  expect(world.parked.map((one) => one.reason).slice(0, 2)).toEqual([
    '422: payload.status: must be text or a number',
    '422: payload.status: must not be empty',
  ])
  expect(world.parked[2]?.reason).toMatch(/^422: payload/)
})

test.each([
  ['text', () => new Response('too\n\tmany', { status: 409 }), '409: too many'],
  [
    'problem+json',
    () => Response.json({ title: 'No', detail: 'unknown agent' }, { status: 404 }),
    '404: unknown agent',
  ],
  [
    'an empty detail',
    () => Response.json({ detail: '', title: ' ', error: 'no agent' }, { status: 404 }),
    '404: no agent',
  ],
  [
    'an error of Hono',
    () => {
      throw new HTTPException(403, { message: 'forbidden' })
    },
    '403: forbidden',
  ],
  ['nothing', () => new Response(null, { status: 400 }), '400'],
  [
    'a number',
    () => new Response('no contact 27821234567 or 082 123 4567', { status: 400 }),
    '400: no contact *********** or ************',
  ],
  ['a contact', () => new Response('no JONES-X', { status: 400 }), '400: no *******'],
  ['emoji', () => new Response('no 😀', { status: 400 }), '400: no ??'],
])('the reason is a short masked line when the answer is %s', async (_, answer, reason) => {
  const world = createWorld()
  const app = new Hono().post('*', () => answer())
  await fromSqs(
    app,
    world.options,
  )(sqsEvent(sqsRecord([notification('A', 1, { payload: { contact_ref: 'JONES-X' } })])))
  expect(world.parked.map((one) => one.reason)).toEqual([reason])
})

test('a reason has at most 500 characters', async () => {
  const world = createWorld()
  const app = new Hono().post('*', (c) => c.text('x '.repeat(5000), 400))
  await fromSqs(app, world.options)(sqsEvent(sqsRecord([notification('A', 1)])))
  expect(world.parked[0]?.reason).toHaveLength(500)
})
