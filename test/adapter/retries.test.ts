import { Hono } from 'hono'
import { expect, test } from 'vitest'
import { fromSqs } from '../../src/adapter/index.ts'
import { notification, sqsEvent, sqsRecord } from './factories.ts'
import { createScene, createWorld, ids } from './world.ts'

test('a notification that fails holds back only later ones of its own reference', async () => {
  const scene = createScene((_, index) => (index === 2 ? 503 : 204))
  const failed = await scene.failed(
    sqsEvent(
      sqsRecord([notification('A', 1), notification('A', 2), notification('B', 3), notification('A', 4)], {
        messageId: 'm1',
      }),
      sqsRecord([notification('A', 5), notification('B', 6)], { messageId: 'm2' }),
      sqsRecord([notification('B', 7)], { messageId: 'm3' }),
    ),
  )
  expect(failed).toEqual(['m1', 'm2'])
  expect(scene.ran.toSorted()).toEqual(ids(1, 2, 3, 6, 7))
  expect(scene.commits[0]?.done).toEqual(
    new Map([
      ['m1', ids(1, 3)],
      ['m2', ids(6)],
    ]),
  )
})

test('a redelivered pack runs only its unfinished notifications, in order', async () => {
  let down = true
  const scene = createScene((reference) => (down && reference === 'A' ? 500 : 204))
  const pack = [1, 2, 3, 4, 5, 6].map((index) => notification(index % 2 ? 'A' : 'B', index))
  expect(await scene.failed(sqsEvent(sqsRecord(pack)))).toEqual(['m1'])
  expect(scene.ran.splice(0)).toEqual(ids(1, 2, 4, 6))
  down = false
  expect(await scene.failed(sqsEvent(sqsRecord(pack, { receiveCount: 2 })))).toEqual([])
  expect(scene.ran).toEqual(ids(1, 3, 5))
  expect(scene.recalls).toEqual([['m1']])
})

test('finished notifications are remembered even if no handler recorded an effect', async () => {
  const world = createWorld()
  const app = new Hono().post('/agents/status/:ref', (c) =>
    c.req.param('ref') === 'A' ? c.text('busy', 503) : c.body(null, 204),
  )
  await fromSqs(app, world.options)(sqsEvent(sqsRecord([notification('A', 1), notification('B', 2)])))
  expect(world.commits).toMatchObject([{ effects: [], done: new Map([['m1', ids(2)]]) }])
})

test('a message without progress is not remembered again', async () => {
  const scene = createScene((_, index) => (index === 1 ? 'throw' : 204))
  const pack = [notification('A', 1), notification('B', 2)]
  await scene.failed(sqsEvent(sqsRecord(pack)))
  expect(scene.commits.map(({ done }) => done.size)).toEqual([1])
  await scene.failed(sqsEvent(sqsRecord(pack, { receiveCount: 2 })))
  expect(scene.commits.map(({ done }) => done.size)).toEqual([1, 0])
})

test.each([408, 425, 429, 500, 503, 'throw'] as const)(
  '%s is retried, and its effects are committed',
  async (answer) => {
    const scene = createScene(() => answer)
    expect(await scene.failed(sqsEvent(sqsRecord([notification('A', 1)])))).toEqual(['m1'])
    expect(scene.parked).toEqual([])
    expect(scene.commits).toMatchObject([{ effects: ids(1), done: new Map() }])
  },
)

test('a failed message is postponed by 1, 2, 4 … 300 seconds', async () => {
  const scene = createScene(() => 503, { attempts: 100 })
  for (const receiveCount of [1, 2, 3, 9, 10, 50])
    await scene.failed(sqsEvent(sqsRecord([notification('A', 1)], { receiveCount })))
  expect(scene.postponed.map(([, delay]) => delay)).toEqual([1, 2, 4, 256, 300, 300])
})

test('G7: pauses are short if a handler fails, since its lane waits in SQS for as long, and longer if the read model is down', async () => {
  let down = false
  const scene = createScene(() => 503, {
    longestDelaySeconds: 5,
    longestOutageDelaySeconds: 200,
    failCommit: () => down,
  })
  for (const receiveCount of [1, 3, 4, 9])
    await scene.failed(sqsEvent(sqsRecord([notification('A', 1)], { receiveCount })))
  down = true
  await scene.failed(sqsEvent(sqsRecord([notification('A', 1)], { receiveCount: 9 })))
  expect(scene.postponed.map(([, delay]) => delay)).toEqual([1, 4, 5, 5, 200])
})

test('failed messages of one group are postponed together, those of another group by their own count', async () => {
  const scene = createScene(() => 503)
  await scene.failed(
    sqsEvent(
      sqsRecord([notification('A', 1)], { messageId: 'm1', receiveCount: 4 }),
      sqsRecord([notification('A', 2)], { messageId: 'm2', receiveCount: 1 }),
      sqsRecord([notification('B', 3)], { messageId: 'm3', receiveCount: 2, group: '6' }),
    ),
  )
  expect(scene.postponed).toEqual([
    ['m1', 8],
    ['m2', 8],
    ['m3', 2],
  ])
})

test('a message that cannot be postponed is still reported as failed', async () => {
  const scene = createScene(() => 503, { postpone: () => Promise.reject(new Error('throttled')) })
  expect(await scene.failed(sqsEvent(sqsRecord([notification('A', 1)])))).toEqual(['m1'])
  expect(scene.lines.filter((line) => line.code === 'adapter.postpone.failed')).toHaveLength(1)
})

test('a notification that fails on its last attempt is parked alone, and later ones of its reference run', async () => {
  const scene = createScene((_, index) => (index === 1 ? 503 : 204))
  const pack = [notification('A', 1), notification('B', 2), notification('A', 3)]
  expect(await scene.failed(sqsEvent(sqsRecord(pack, { receiveCount: 10 })))).toEqual([])
  expect(scene.ran).toEqual(ids(1, 2, 3))
  expect(scene.parked).toMatchObject([
    { notification: { id: 'main/p/7/1' }, reason: '503: answered 503', status: 503, attempts: 10 },
  ])
})

test('a notification that is held back on its last attempt is parked alone, not run before the earlier one', async () => {
  const scene = createScene((_, index) => (index === 1 ? 503 : 204))
  const failed = await scene.failed(
    sqsEvent(
      sqsRecord([notification('A', 1)], { messageId: 'm1', receiveCount: 3 }),
      sqsRecord([notification('A', 2), notification('B', 3)], { messageId: 'm2', receiveCount: 10 }),
    ),
  )
  expect(failed).toEqual(['m1'])
  expect(scene.ran.toSorted()).toEqual(ids(1, 3))
  expect(scene.parked.map((one) => [one.notification?.id, one.reason.slice(0, 9)])).toEqual([
    ['main/p/7/2', 'held back'],
  ])
})

test('a copy on its last attempt is not parked while the first one is retried', async () => {
  const scene = createScene(() => 503)
  const failed = await scene.failed(
    sqsEvent(
      sqsRecord([notification('A', 1)], { messageId: 'm1', receiveCount: 3 }),
      sqsRecord([notification('A', 1)], { messageId: 'm2', receiveCount: 10 }),
    ),
  )
  expect(failed).toEqual(['m1'])
  expect(scene.parked).toEqual([])
})

test('a failed commit makes the whole batch retry: finished handlers do not run again, and nothing is parked twice', async () => {
  let down = true
  const scene = createScene((reference) => (reference === 'B' ? 422 : reference === 'C' ? 503 : 204), {
    failCommit: () => down,
  })
  const batch = (receiveCount: number) =>
    sqsEvent(
      sqsRecord([notification('A', 1), notification('B', 2)], { messageId: 'm1', receiveCount }),
      sqsRecord([notification('C', 3), notification('A', 1)], { messageId: 'm2', receiveCount, group: '6' }),
      sqsRecord('no event', { messageId: 'm3', receiveCount, group: '7' }),
    )
  for (const attempt of [1, 2, 3]) expect(await scene.failed(batch(attempt))).toEqual(['m1', 'm2', 'm3'])
  expect(scene.postponed.slice(0, 3)).toEqual([
    ['m1', 1],
    ['m2', 1],
    ['m3', 1],
  ])
  down = false
  expect(await scene.failed(batch(4))).toEqual(['m2'])
  // Only the handler that failed ran again.
  expect(scene.ran).toEqual(ids(1, 2, 3, 3, 3, 3))
  expect(scene.parked.map(({ notification: one, body }) => one?.id ?? body)).toEqual(
    expect.arrayContaining([...ids(2), 'no event']),
  )
  expect(scene.parked).toHaveLength(2)
  expect(scene.commits).toMatchObject([{ effects: ids(1, 2, 3), done: new Map([['m2', ids(1)]]) }])
  // Committed: another delivery with the same id starts anew.
  expect(await scene.failed(batch(1))).toEqual(['m2'])
  expect(scene.ran).toHaveLength(9)
})

test('the outcomes of a message whose commit failed are forgotten after an hour', async () => {
  let [down, nowMs] = [true, 0]
  const scene = createScene(() => 204, { failCommit: () => down, now: () => nowMs })
  const batch = (receiveCount: number) => sqsEvent(sqsRecord([notification('A', 1)], { receiveCount }))
  await scene.failed(batch(1))
  down = false
  nowMs = 3_600_001
  expect(await scene.failed(batch(2))).toEqual([])
  expect(scene.ran).toEqual(ids(1, 1))
})

test('a long id is remembered as a key of 64 characters', async () => {
  const scene = createScene((reference) => (reference === 'B' ? 503 : 204))
  const long = [1, 2].map((index) => notification('A', index, { id: `${'x'.repeat(40_000)}${index}` }))
  const batch = (receiveCount: number) => sqsEvent(sqsRecord([...long, notification('B', 3)], { receiveCount }))
  await scene.failed(batch(1))
  const [done] = [...(scene.commits[0]?.done.values() ?? [])]
  expect(done?.map((key) => key.length)).toEqual([64, 64])
  await scene.failed(batch(2))
  expect(scene.ran).toHaveLength(4)
})

test('a failed recall makes the whole batch retry, without running anything', async () => {
  const scene = createScene(() => 204, { recall: () => Promise.reject(new Error('store down')) })
  const again = sqsRecord([notification('A', 1)], { messageId: 'm1', receiveCount: 2 })
  expect(await scene.failed(sqsEvent(again, sqsRecord([notification('B', 2)], { messageId: 'm2' })))).toEqual([
    'm1',
    'm2',
  ])
  expect(scene.ran).toEqual([])
})

test('an outcome from an earlier attempt counts for a copy in another message, too', async () => {
  const scene = createScene()
  scene.memory.set('m1', new Set(ids(1)))
  const failed = await scene.failed(
    sqsEvent(
      sqsRecord([notification('A', 1), notification('A', 2)], { messageId: 'm1', receiveCount: 2 }),
      sqsRecord([notification('A', 1)], { messageId: 'm2' }),
    ),
  )
  expect(failed).toEqual([])
  expect(scene.ran).toEqual(ids(2))
})

test('in an outage a batch logs each reason once, with a count', async () => {
  const scene = createScene(() => 503)
  await scene.failed(sqsEvent(sqsRecord(['A', 'B', 'C'].map((reference, index) => notification(reference, index)))))
  expect(scene.lines).toMatchObject([
    {
      level: 'warn',
      code: 'adapter.handler.failed',
      count: 3,
      reason: '503: answered 503',
      type: 'enigma.agents.status',
    },
  ])
})
