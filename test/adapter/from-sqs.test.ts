import { Hono } from 'hono'
import { expect, test } from 'vitest'
import { event, fromSqs, type HandlerEvent } from '../../src/adapter/index.ts'
import { cdr, gzippedRecord, notification, sqsEvent, sqsRecord } from './factories.ts'
import { createScene, createWorld, ids } from './world.ts'

const range = (count: number) => Array.from({ length: count }, (_, index) => index)

/** An app that keeps what `event(c)` gave it. */
function listen() {
  const heard: HandlerEvent[] = []
  const paths: string[] = []
  const app = new Hono()
  app.post('*', async (c) => {
    heard.push(await event(c))
    paths.push(c.req.path)
    return c.body(null, 204)
  })
  return { heard, paths, handler: fromSqs(app, createWorld().options) }
}

test('one notification becomes one POST to its type, sub_type and reference, and its message is done', async () => {
  const { heard, paths, handler } = listen()
  expect(await handler(sqsEvent(sqsRecord([notification('1002', 1)])))).toEqual({ batchItemFailures: [] })
  expect(paths).toEqual(['/agents/status/1002'])
  expect(heard[0]).toMatchObject({
    id: 'main/p/7/1',
    source: 'main',
    type: 'agents',
    subType: 'status',
    reference: '1002',
    attempt: 1,
  })
})

test('a batch in one message, a gzipped batch and bytes that are not UTF-8 arrive byte for byte', async () => {
  const { heard, handler } = listen()
  const large = '{"type":"cdr","payload":{"call_ref":90071992547409931,"x":1.0,  "e":"😀"}}'
  const bytes = Uint8Array.of(0xff, 0x00, 0x7b)
  const response = await handler(
    sqsEvent(
      sqsRecord([cdr(1, 1, { data: large }), cdr(2, 2)], { messageId: 'm1', group: '1' }),
      await gzippedRecord([cdr(3, 3, { data: large }), cdr(4, 4)], { messageId: 'm2', group: '2' }),
      sqsRecord([cdr(5, 5, { data: bytes, datacontenttype: 'application/octet-stream' })], {
        messageId: 'm3',
        group: '3',
      }),
    ),
  )
  expect(response.batchItemFailures).toEqual([])
  const data = new Map(heard.map((one) => [one.id, one.data]))
  expect(data.size).toBe(5)
  expect(data.get('main/l/9/1')).toBe(large)
  expect(data.get('main/l/9/3')).toBe(large)
  expect(data.get('main/l/9/5')).toEqual(bytes)
  expect(heard.find((one) => one.id === 'main/l/9/1')?.payload).toEqual({
    call_ref: '90071992547409931',
    x: 1,
    e: '😀',
  })
})

test('ten packs of one group: each reference runs in the order of the packs, and one commit holds all', async () => {
  const scene = createScene()
  const packs = range(10).map((pack) =>
    sqsRecord(
      range(10).map((at) => notification(`10${at % 3}`, pack * 10 + at)),
      { messageId: `m${pack}` },
    ),
  )
  expect(await scene.failed(sqsEvent(...packs))).toEqual([])
  for (const reference of range(3)) {
    const own = ids(...range(100).filter((index) => (index % 10) % 3 === reference))
    expect(scene.ran.filter((id) => own.includes(id))).toEqual(own)
  }
  expect(scene.commits).toHaveLength(1)
  expect(scene.commits[0]?.effects).toEqual(ids(...range(100)))
})

test('ten packs of 200 run once each, and their effects are committed in the order of the batch', async () => {
  const scene = createScene()
  const packs = range(10).map((pack) =>
    sqsRecord(
      range(200).map((at) => notification(String(1000 + at), pack * 200 + at)),
      { messageId: `m${pack}`, group: String(pack) },
    ),
  )
  expect(await scene.failed(sqsEvent(...packs))).toEqual([])
  expect(new Set(scene.ran).size).toBe(2000)
  expect(scene.ran).toHaveLength(2000)
  expect(scene.commits.map((commit) => commit.effects)).toEqual([ids(...range(2000))])
})

test('references run in parallel, at most maxParallel at once', async () => {
  let running = 0
  let most = 0
  const app = new Hono().post('*', async (c) => {
    most = Math.max(most, ++running)
    await new Promise((resolve) => setImmediate(resolve))
    running--
    return c.body(null, 204)
  })
  const packs = sqsEvent(sqsRecord(range(20).map((at) => notification(String(at), at))))
  await fromSqs(app, createWorld({ maxParallel: 7 }).options)(packs)
  expect(most).toBe(7)
})

test('list items without a reference keep their order by call_ref, and sub_types do not wait for each other', async () => {
  const scene = createScene((_, index) => (index === 1 ? 503 : 204))
  const status = notification('77', 9)
  await scene.failed(sqsEvent(sqsRecord([cdr(77, 1), cdr('77', 2), cdr(78, 3), status])))
  expect(scene.ran.toSorted()).toEqual(['main/l/9/1', 'main/l/9/3', 'main/p/7/9'])
})

test('nothing is committed and nothing recalled for a first batch without effects', async () => {
  const world = createWorld()
  const app = new Hono().post('*', (c) => c.body(null, 204))
  await fromSqs(app, world.options)(sqsEvent(sqsRecord([notification('1', 1)])))
  expect(world.commits).toEqual([])
  expect(world.recalls).toEqual([])
})

test('copies of a notification in one batch run once and share the outcome', async () => {
  const scene = createScene((reference) => (reference === 'bad' ? 503 : 204))
  const failed = await scene.failed(
    sqsEvent(
      sqsRecord([notification('good', 1), notification('bad', 2), notification('good', 1)], { messageId: 'm1' }),
      sqsRecord([notification('good', 1)], { messageId: 'm2' }),
      sqsRecord([notification('bad', 2)], { messageId: 'm3' }),
    ),
  )
  expect(scene.ran.toSorted()).toEqual(ids(1, 2))
  expect(failed).toEqual(['m1', 'm3'])
})

test('foreign events with the same id but different sources are not copies', async () => {
  const scene = createScene()
  await scene.failed(
    sqsEvent(
      sqsRecord([notification('1', 1, { id: '1', source: '/a' }), notification('1', 1, { id: '1', source: '/b' })]),
    ),
  )
  expect(scene.ran).toEqual(['1', '1'])
})

test('input that is not an SQS event is refused', async () => {
  await expect(createScene().handler({} as never)).rejects.toMatchObject({ code: 'adapter.event.not_sqs' })
})
