import { Hono } from 'hono'
import { expect, test } from 'vitest'
import { event, fromHttp, record, type AdapterEnv } from '../../src/adapter/index.ts'
import { toRequest } from '../../src/protocol/index.ts'
import { notification } from './factories.ts'
import { createWorld } from './world.ts'

function createApp(status: 204 | 400 | 500 = 204) {
  const app = new Hono<AdapterEnv<string> & { Bindings: { REGION?: string } }>()
  return app.post('/agents/status/:ref', async (c) => {
    record(c, `${(await event(c)).id} in ${c.env.REGION ?? 'nowhere'}`)
    return status === 204 ? c.body(null, 204) : c.text('no', status)
  })
}

test('the effects of a handler are committed before its answer is sent', async () => {
  const steps: string[] = []
  const fetch = fromHttp<string>(createApp(), {
    verify: false,
    commit: async ({ effects, done }) => void steps.push(...effects, `${done.size} done`),
  })
  steps.push(String((await fetch(toRequest(notification('1002', 1)), { REGION: 'eu' })).status))
  expect(steps).toEqual(['main/p/7/1 in eu', '0 done', '204'])
})

test('the effects of a handler that fails are committed', async () => {
  for (const status of [400, 500] as const) {
    const world = createWorld<string>()
    expect(
      (await fromHttp(createApp(status), { ...world.options, verify: false })(toRequest(notification('1002', 1))))
        .status,
    ).toBe(status)
    expect(world.commits).toHaveLength(1)
  }
})

test('nothing is committed when nothing was recorded', async () => {
  const world = createWorld<string>()
  expect(
    (await fromHttp(createApp(), { ...world.options, verify: false })(new Request('http://x/health'))).status,
  ).toBe(404)
  expect(world.commits).toEqual([])
})

test('a failed commit is answered with 503', async () => {
  const world = createWorld<string>({ commit: () => Promise.reject(new Error('store down')) })
  const response = await fromHttp(createApp(), { ...world.options, verify: false })(toRequest(notification('1002', 1)))
  expect([response.status, response.headers.get('content-type')]).toEqual([503, 'application/problem+json'])
  expect(world.lines).toMatchObject([{ level: 'error', error: 'Error: store down' }])
})

test('a thrown value that is not an Error is answered with 500', async () => {
  // oxlint-disable-next-line typescript/only-throw-error -- that is the case
  const app = new Hono().post('*', () => {
    throw 'x'
  })
  expect(
    (await fromHttp(app, { ...createWorld().options, verify: false })(toRequest(notification('1', 1)))).status,
  ).toBe(500)
})
