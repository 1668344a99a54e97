import { Hono } from 'hono'
import { expect, test } from 'vitest'
import * as call from '../../functions/agents/call.ts'
import * as statusFunction from '../../functions/agents/status.ts'
import * as other from '../../functions/other.ts'
import { event, fromHttp, type AdapterEnv, type App } from '../../src/adapter/index.ts'
import { relayFunctions } from '../../src/api/index.ts'
import { defineRoute, formatEvent, toRequest, AgentStatus, type Notification } from '../../src/protocol/index.ts'
import type { Effect } from '../../src/store/index.ts'
import { notification } from './factories.ts'
import { createWorld } from './world.ts'

const batch = (content: readonly Notification[], headers: Record<string, string> = {}) =>
  new Request('http://x/', {
    method: 'POST',
    headers: { 'content-type': 'application/cloudevents-batch+json', ...headers },
    body: `[${content.map(formatEvent).join(',')}]`,
  })

/** An app that records its requests. */
function createNoted(answer: () => number = () => 204) {
  const seen: [id: string, stale: boolean, lastAttempt: boolean, region: string | undefined][] = []
  const app = new Hono<AdapterEnv & { Bindings: { REGION?: string } }>().post('/*', async (c) => {
    const { id, stale, lastAttempt } = await event(c)
    seen.push([id, stale, lastAttempt, c.env.REGION])
    return c.body(null, answer() as 204)
  })
  return { app, seen }
}

test('each notification goes to the function of its route, else of its type, else to the function without a route', async () => {
  const [first, second, rest] = [createNoted(), createNoted(), createNoted()]
  const route = (subType: string) => defineRoute({ type: 'agents', subType, payload: AgentStatus })
  const fetch = fromHttp(
    [{ route: route('status'), app: first.app }, { route: route('break'), app: second.app }, { app: rest.app }],
    { ...createWorld().options, verify: false },
  )
  const all = [
    notification('1', 1),
    notification('1', 2, { type: 'enigma.agents.break' }),
    notification('1', 3, { type: 'enigma.agents.unknown' }),
    notification('1', 4, { type: 'foreign' }),
  ]
  await fetch(batch(all), { REGION: 'eu' })
  const idsOf = ({ seen }: typeof first) => seen.map(([id]) => id)
  expect([idsOf(first), idsOf(second), idsOf(rest)]).toEqual([
    ['main/p/7/1'],
    ['main/p/7/2'],
    ['main/p/7/3', 'main/p/7/4'],
  ])
  expect(first.seen[0]?.[3]).toBe('eu')
  await fetch(batch([notification('1', 5)], { 'ce-route': 'agents-break' }))
  await fetch(batch([notification('1', 6)], { 'ce-route': 'no-such-route' }))
  expect([idsOf(first).at(-1), idsOf(second).at(-1)]).toEqual(['main/p/7/6', 'main/p/7/5'])
  // Binary mode finds its function by the type.
  expect((await fetch(toRequest(notification('1', 7, { type: 'enigma.agents.break' })))).status).toBe(204)
  expect(idsOf(second).at(-1)).toBe('main/p/7/7')
})

test('each function has the limits of its own route', async () => {
  const [quick, slow] = [createNoted(() => 503), createNoted(() => 503)]
  const own = { type: 'agents', payload: AgentStatus }
  const world = createWorld({ now: () => Date.parse('2026-03-02T08:01:00Z') })
  const fetch = fromHttp(
    [
      { route: defineRoute({ ...own, subType: 'status', attempts: 2, maxAgeMs: 30_000 }), app: quick.app },
      { route: defineRoute({ ...own, subType: 'break', retrySeconds: 2 }), app: slow.app },
    ],
    { ...world.options, verify: false },
  )
  const two = [notification('1', 1), notification('1', 2, { type: 'enigma.agents.break' })]
  const response = await fetch(batch(two, { 'ce-attempt': '3' }))
  expect(await response.json()).toEqual({
    outcomes: [
      { id: 'main/p/7/1', outcome: 'parked' },
      { id: 'main/p/7/2', outcome: 'retry', after: 2 },
    ],
  })
  expect([quick.seen[0]?.slice(1, 3), slow.seen[0]?.slice(1, 3)]).toEqual([
    [true, true],
    [false, false],
  ])
  expect(world.parked).toMatchObject([{ route: 'agents-status', maxAgeMs: 30_000 }])
})

test('a request with a type that no function takes is refused as a whole, so that nothing is lost', async () => {
  const { app, seen } = createNoted()
  const route = defineRoute({ type: 'agents', subType: 'status', payload: AgentStatus })
  const world = createWorld()
  const fetch = fromHttp([{ route, app }], { ...world.options, verify: false })
  const response = await fetch(batch([notification('1', 1), notification('1', 2, { type: 'enigma.agents.break' })]))
  expect([response.status, await response.json()]).toMatchObject([
    404,
    { detail: expect.stringContaining('functions/other.ts') as string },
  ])
  expect([seen, world.commits]).toEqual([[], []])
  expect((await fetch(new Request('http://x/health'))).status).toBe(404)
})

test('two functions for one route, and a function without an app, are refused at the start', () => {
  const { app } = createNoted()
  const route = defineRoute({ type: 'agents', subType: 'status', payload: AgentStatus })
  const start = (...functions: { app: App; route?: typeof route }[]) =>
    fromHttp(functions, { ...createWorld().options, verify: false })
  expect(() => start({ route, app }, { route, app })).toThrow(/two functions have the route agents-status/)
  expect(() => start({ app }, { app })).toThrow(/two functions have the route other/)
  expect(() => start({ route } as never)).toThrow(/agents-status has no app/)
})

test('the files of functions/ and the functions of the relay’s notices can be hosted unchanged', async () => {
  const world = createWorld<Effect>()
  const fetch = fromHttp<Effect>([...relayFunctions, call, statusFunction, other], { ...world.options, verify: false })
  const alive = { relay: 'pbx-1', sources: ['main'], started: '2026-03-02T08:00:00.000Z' }
  const all = [
    notification('1002', 1, { payload: { ref: '1002', status: 'busy', campaign_ref: '7' } }),
    notification('1002', 2, { type: 'enigma.agents.unknown' }),
    notification('pbx-1', 3, { type: 'enigma.relay.alive', payload: alive }),
  ]
  const response = await fetch(batch(all))
  const { outcomes } = (await response.json()) as { outcomes: { outcome: string }[] }
  expect([outcomes.map(({ outcome }) => outcome), world.commits.length]).toEqual([['done', 'done', 'done'], 1])
  expect(world.commits[0]?.effects.length).toBe(3)
})
