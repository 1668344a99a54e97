import { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { expect, test } from 'vitest'
import { event, fromSqs, record, type AdapterEnv } from '../../src/adapter/index.ts'
import { AgentStatus } from '../../src/protocol/index.ts'
import { notification, QUEUE_ARN, RECEIVED, sqsEvent, sqsRecord } from './factories.ts'
import { createScene, createWorld, ids } from './world.ts'

test('a notification that is answered with 400 is parked at once with its reason, and its neighbours run once', async () => {
  const scene = createScene((_, index) => (index === 2 ? 400 : 204))
  const pack = [notification('A', 1), notification('A', 2), notification('A', 3), notification('B', 4)]
  expect(await scene.failed(sqsEvent(sqsRecord(pack)))).toEqual([])
  expect(scene.ran.toSorted()).toEqual(ids(1, 2, 3, 4))
  expect(scene.parked).toEqual([
    {
      route: 'enigma-agents-status',
      key: 'main/p/7/2',
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

test('a parked notification has the maxAgeMs of its route', async () => {
  const scene = createScene(() => 422, { maxAgeMs: 5_000 })
  await scene.failed(sqsEvent(sqsRecord([notification('A', 1)])))
  expect(scene.parked).toMatchObject([{ maxAgeMs: 5_000 }])
})

test.each([
  ['lists', '['.repeat(30_000) + ']'.repeat(30_000)],
  ['objects', '{"a":'.repeat(30_000) + '1' + '}'.repeat(30_000)],
  ['lists with a number that has to stay exact', `${'['.repeat(30_000)}1.10${']'.repeat(30_000)}`],
])('G7: a packet of nested %s, too deep for any handler, is parked alone', async (_, value) => {
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

test('a parked notification is in the commit of its batch, beside the effects of its neighbours', async () => {
  const scene = createScene((_, index) => (index === 1 ? 400 : 204))
  await scene.failed(sqsEvent(sqsRecord([notification('A', 1), notification('A', 2)])))
  expect(scene.commits).toMatchObject([{ effects: ids(1, 2), parked: [{ key: ids(1)[0] }], failed: [] }])
  expect(scene.lines).toMatchObject([{ code: 'adapter.park.parked', id: ids(1)[0], reason: '400: answered 400' }])
})

test('a failed commit parks nothing: the redelivered batch runs no handler twice, and then parks', async () => {
  for (const receiveCount of [1, 10]) {
    let isDown = true
    const scene = createScene((_, index) => (index === 1 ? 400 : 204), { failCommit: () => isDown })
    const batch = () =>
      sqsEvent(
        sqsRecord([notification('A', 1), notification('B', 2)], { messageId: 'm1', receiveCount }),
        sqsRecord('not json', { messageId: 'm2', receiveCount }),
      )
    expect(await scene.failed(batch())).toEqual(['m1', 'm2'])
    expect([scene.parked, scene.lines.map(({ code }) => code)]).toEqual([[], ['adapter.commit.failed']])
    isDown = false
    expect(await scene.failed(batch())).toEqual([])
    expect(scene.ran.toSorted()).toEqual(ids(1, 2))
    expect(scene.parked.map(({ reason }) => reason)).toEqual(['the body is not JSON', '400: answered 400'])
  }
})

test('each failed attempt that is retried is in the commit, once per message and reason', async () => {
  const scene = createScene((reference) => ({ A: 503, B: 503, C: 'throw' as const })[reference])
  const refs = ['A', 'B', 'C', 'D']
  const pack = refs.map((ref, index) => notification(ref, index + 1))
  expect(await scene.failed(sqsEvent(sqsRecord(pack, { receiveCount: 3 })))).toEqual(['m1'])
  expect(scene.commits[0]?.failed).toEqual([
    { messageId: 'm1', attempt: 3, status: 503, reason: '503: answered 503', keys: ids(1, 2) },
    { messageId: 'm1', attempt: 3, status: 500, reason: '500: Error: the handler broke', keys: ids(3) },
  ])
})

test('a handler learns the job of a replay, and the commit has its outcome', async () => {
  const attributes = { replay: { stringValue: 'job-7' }, parked: { stringValue: 'entry-1' } }
  const seen: (string | undefined)[] = []
  const scene = createScene((reference) => (reference === 'A' ? 422 : reference === 'B' ? 503 : 204))
  const app = {
    fetch: async (request: Request, env: { enigma: unknown }) => {
      seen.push(request.headers.get('ce-replay') ?? undefined)
      return scene.app.fetch(request, env)
    },
  }
  const handler = fromSqs(app, scene.options)
  const replayedRecord = (ref: string, index: number) => ({
    ...sqsRecord([notification(ref, index)], { messageId: `m${index}` }),
    messageAttributes: attributes,
  })
  const broken = { ...sqsRecord('not json', { messageId: 'm9' }), messageAttributes: attributes }
  await handler(sqsEvent(replayedRecord('A', 1), replayedRecord('B', 2), replayedRecord('C', 3), broken))
  expect(seen).toEqual(['job-7', 'job-7', 'job-7'])
  const replay = { job: 'job-7', entry: 'entry-1' }
  // The notification that is retried has no outcome yet.
  expect(scene.commits[0]?.replayed).toEqual([
    { ...replay, hasFailed: true, messageId: 'm1' },
    { ...replay, hasFailed: false, messageId: 'm3' },
    { ...replay, hasFailed: true, messageId: 'm9' },
  ])
  expect(scene.parked).toMatchObject([
    { body: 'not json', replay },
    { replay, status: 422 },
  ])
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
    route: 'enigma-agents-status',
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

test('a foreign event that cannot be turned into a request is parked at once', async () => {
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

test('the reason names a missing route, without the reference', async () => {
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

test.each([
  ['its original message is redelivered', 'recall'],
  ['an earlier commit failed', 'uncommitted'],
  ['a copy of it is parked in the same batch', 'copy'],
])('a replayed notification runs and has its own outcome, even if %s', async (_, way) => {
  let isDown = way === 'uncommitted'
  const scene = createScene((reference) => (reference === 'A' ? 422 : 503), { failCommit: () => isDown })
  const pack = [notification('A', 1), notification('B', 2)]
  const replay = {
    ...sqsRecord([notification('A', 1)], { messageId: 'replayed' }),
    messageAttributes: { replay: { stringValue: 'job' }, parked: { stringValue: 'entry' } },
  }
  if (way !== 'copy') await scene.failed(sqsEvent(sqsRecord(pack, { messageId: 'm' })))
  isDown = false
  scene.ran.length = 0
  const former =
    way === 'copy'
      ? sqsRecord([notification('A', 1)], { messageId: 'm' })
      : sqsRecord(pack, { messageId: 'm', receiveCount: 2 })
  await scene.failed(sqsEvent(former, replay))
  expect(scene.ran.filter((id) => id.endsWith('/1'))).toHaveLength(way === 'copy' ? 2 : 1)
  expect(scene.commits.at(-1)?.replayed).toEqual([
    { job: 'job', entry: 'entry', hasFailed: true, messageId: 'replayed' },
  ])
})
