import { Hono } from 'hono'
import { expect, onTestFinished, test, vi } from 'vitest'
import { fromHttp, fromSqs } from '../../src/adapter/index.ts'
import { toRequest } from '../../src/protocol/index.ts'
import { notification, sqsEvent, sqsRecord } from './factories.ts'
import { createWorld } from './world.ts'

const personal = notification('A', 1, { payload: { number: '27821234567', contact_ref: 'JONES-X' } })

function watchConsole() {
  const spy = vi.spyOn(console, 'error').mockImplementation(() => {})
  onTestFinished(() => spy.mockRestore())
  return () => JSON.stringify(spy.mock.calls)
}

const breakWithPersonalData = () => {
  throw new TypeError('failed: SET call 27821234567', { cause: new Error('JONES-X is unknown') })
}

test('an uncaught error is logged with its message and stack, but without personal data', async () => {
  const said = watchConsole()
  const world = createWorld({ attempts: 1 })
  const app = new Hono().post('*', breakWithPersonalData)
  await fromSqs(app, world.options)(sqsEvent(sqsRecord([personal])))
  expect(said()).toBe('[]')
  const reason = '500: TypeError: failed: SET call ***********; Error: ******* is unknown'
  expect(world.lines.find((line) => line.code === 'adapter.handler.failed')).toMatchObject({
    reason,
    stack: expect.arrayContaining([expect.stringContaining('errors.test.ts')]),
  })
  expect(world.parked).toMatchObject([{ reason, status: 500 }])
  expect(JSON.stringify(world.lines)).not.toMatch(/2782|JONES/)
})

test('an uncaught error is logged without personal data behind HTTP, and without an adapter', async () => {
  const said = watchConsole()
  const world = createWorld()
  const app = new Hono().post('*', () => {
    throw new TypeError('failed: SET call 27821234567')
  })
  const response = await fromHttp(app, { ...world.options, verify: false })(toRequest(personal))
  expect([response.status, await response.text()]).toEqual([500, 'Internal Server Error'])
  expect(world.lines).toMatchObject([
    { level: 'error', code: 'adapter.handler.failed', error: 'TypeError: failed: SET call ***********' },
  ])
  expect((await app.fetch(toRequest(personal))).status).toBe(500)
  expect(said()).toContain('SET call ***********')
  expect(said()).not.toContain('2782')
})

test('the app’s own onError is kept, whether it is set before or after fromSqs', async () => {
  for (const order of ['before', 'after']) {
    const world = createWorld()
    const app = new Hono().post('*', breakWithPersonalData)
    const own = () => app.onError((_error, c) => c.text('mine', 409))
    if (order === 'before') own()
    const handler = fromSqs(app, world.options)
    if (order === 'after') own()
    await handler(sqsEvent(sqsRecord([personal])))
    expect(world.parked.map((one) => one.reason)).toEqual(['409: mine'])
  }
})

test('a thrown value that is not an Error is retried', async () => {
  const world = createWorld()
  // oxlint-disable-next-line typescript/only-throw-error -- that is the case
  const app = new Hono().post('*', () => {
    throw '27821234567'
  })
  expect((await fromSqs(app, world.options)(sqsEvent(sqsRecord([personal])))).batchItemFailures).toEqual([
    { itemIdentifier: 'm1' },
  ])
  expect(world.lines).toMatchObject([{ reason: 'the thrown value is not an Error' }])
})

test('the reason of an error that quotes a whole dial_preview is cut to 500 characters, without personal data', async () => {
  const world = createWorld({ attempts: 1 })
  const callees = Array.from({ length: 20_000 }, (_, index) => ({
    number: `2782${1_000_000 + index}`,
    contact_ref: `CONTACT-${index}`,
  }))
  const preview = notification('7', 1, { payload: { callees } })
  const app = new Hono().post('*', async (c) => {
    throw new Error(await c.req.text())
  })
  await fromSqs(app, world.options)(sqsEvent(sqsRecord([preview])))
  expect(world.parked[0]?.reason.length).toBeLessThanOrEqual(500)
  expect(JSON.stringify(world.lines)).not.toMatch(/2782|CONTACT-\d/)
})
