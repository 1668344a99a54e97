import { Hono } from 'hono'
import { expect, test } from 'vitest'
import { event, fromSqs, record, type AdapterEnv } from '../../src/adapter/index.ts'
import { notification, sqsEvent, sqsRecord } from './factories.ts'
import { createScene, createWorld, ids } from './world.ts'

/** A Lambda context that has this much time left until `left` is set: no test depends on a real clock. */
function lambda(left: number) {
  const context = { left, getRemainingTimeInMillis: () => context.left }
  return context
}

test('a handler that hangs is retried, its Request is aborted, and its neighbours are done', async () => {
  const scene = createScene((_, index) => (index === 1 ? 'hang' : 204), { timeoutMs: 50 })
  const failed = await scene.failed(
    sqsEvent(
      sqsRecord([notification('A', 1), notification('B', 2), notification('A', 3)], { messageId: 'm1' }),
      sqsRecord([notification('C', 4)], { messageId: 'm2' }),
    ),
  )
  expect(failed).toEqual(['m1'])
  expect(scene.aborted).toEqual(ids(1))
  expect(scene.commits[0]?.done).toEqual(new Map([['m1', ids(2)]]))
  expect(scene.lines).toMatchObject([
    { code: 'adapter.handler.failed', reason: expect.stringContaining('no answer within') },
  ])
})

test('without a limit of its own, a hanging handler ends while Lambda still has time for the commit', async () => {
  const scene = createScene((_, index) => (index === 1 ? 'hang' : 204))
  expect(await scene.failed(sqsEvent(sqsRecord([notification('A', 1), notification('B', 2)])), lambda(100))).toEqual([
    'm1',
  ])
  expect(scene.commits[0]?.done).toEqual(new Map([['m1', ids(2)]]))
  expect(scene.lines).toMatchObject([{ reason: 'no answer within 0.1 s' }])
})

test('a notification that cannot begin in time is retried, and parked alone on the last attempt', async () => {
  for (const receiveCount of [1, 10]) {
    const context = lambda(1000)
    const scene = createScene(
      (reference) => {
        // Enough for the commit, but not for another handler.
        if (reference === 'A') context.left = 200
        return 204
      },
      { maxParallel: 1 },
    )
    const pack = sqsRecord([notification('A', 1), notification('B', 2)], { receiveCount })
    expect(await scene.failed(sqsEvent(pack), context)).toEqual(receiveCount === 1 ? ['m1'] : [])
    expect(scene.ran).toEqual(ids(1))
    expect(scene.parked.map((one) => one.reason)).toEqual(
      receiveCount === 1 ? [] : ['the function had no time left for this step'],
    )
  }
})

test('a notification that hangs on its last attempt leaves time for later ones: they are done, and it is parked alone', async () => {
  const context = lambda(800)
  const world = createWorld<string>()
  const ran: string[] = []
  const app = new Hono<AdapterEnv<string>>().post('*', async (c) => {
    const { id, attempt } = await event(c)
    ran.push(id)
    if (!id.endsWith('/1')) return c.body(null, 204)
    await new Promise((resolve) => c.req.raw.signal.addEventListener('abort', resolve))
    // The handler has used up its time. The reason of the abort says how much that was.
    context.left -= Number(/within ([\d.]+) s/.exec(String(c.req.raw.signal.reason))?.[1]) * 1000
    return c.text(`attempt ${attempt}`, 503)
  })
  const pack = sqsRecord([notification('A', 1), notification('A', 2), notification('A', 3)], { receiveCount: 10 })
  expect(await fromSqs(app, world.options)(sqsEvent(pack), context)).toEqual({ batchItemFailures: [] })
  expect(ran).toEqual(ids(1, 2, 3))
  expect(world.parked.map((one) => [one.notification?.id, one.reason])).toEqual([
    ['main/p/7/1', 'no answer within 0.3 s'],
  ])
})

test('an effect that a handler records after its time limit is not committed', async () => {
  let late: Promise<void> | undefined
  const world = createWorld<string>({ timeoutMs: 20 })
  const app = new Hono<AdapterEnv<string>>().post('*', async (c) => {
    const { id } = await event(c)
    record(c, `${id} early`)
    late = new Promise<void>((resolve) => c.req.raw.signal.addEventListener('abort', () => resolve())).then(
      async () => {
        await new Promise((resolve) => setImmediate(resolve))
        record(c, `${id} late`)
      },
    )
    await late
    return c.body(null, 204)
  })
  await fromSqs(app, world.options)(sqsEvent(sqsRecord([notification('A', 1)])))
  await late
  expect(world.commits.map(({ effects }) => effects)).toEqual([['main/p/7/1 early']])
  expect(world.lines).toMatchObject([
    { code: 'adapter.handler.failed' },
    { level: 'error', code: 'adapter.record.too_late' },
  ])
})

test('a recall or a commit that hangs ends before Lambda kills the function', async () => {
  const never = () => new Promise<never>(() => {})
  const record1 = sqsRecord([notification('A', 1), notification('B', 2)], { receiveCount: 2 })
  expect(await createScene(() => 204, { recall: never }).failed(sqsEvent(record1), lambda(100))).toEqual(['m1'])
  expect(await createScene(() => 204, { commit: never }).failed(sqsEvent(record1), lambda(100))).toEqual(['m1'])
})
