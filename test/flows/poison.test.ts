import { Hono } from 'hono'
import { expect, test, vi } from 'vitest'
import { event, fromSqs, record, type AdapterEnv } from '../../src/adapter/index.ts'
import { AgentStatus, formatPacket, laneOf } from '../../src/protocol/index.ts'
import { agentStatus, type Effect } from '../../src/store/index.ts'
import { useProxy } from '../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useRelay, waitFor } from '../support/relay.ts'
import { readParked } from '../support/parked-messages.ts'
import { useSqs } from '../support/sqs.ts'
import { useStore } from '../support/store.ts'
import { useTrigger } from '../support/triggers.ts'
import { useFunctionEnv } from '../support/env.ts'
import { routeOf } from '../support/routes.ts'

/** Agents of only two lanes, so that each pack holds notifications of several agents. */
const LANES = routeOf('agents', 'status').lanes ?? 1
const AGENTS = Array.from({ length: 9_000 }, (_, at) => String(1_000 + at))
  .filter((agent) => laneOf(agent, LANES) < 2)
  .slice(0, 30)
const EACH = 12
const ATTEMPTS = 3
/** The handler refuses one notification of the first agent, throws for one of the second, and hangs once for one of the third. */
const [REFUSED = '', THROWN = '', HANGING = ''] = AGENTS.slice(3)
const BAD = 5

test(
  'G4, G7: a refused, a throwing and a hanging notification in full packs affect no neighbour; those that keep failing are parked alone',
  { timeout: 60_000 },
  async () => {
    const [redis, sqs, { store, proxy }] = [await useRedisServer(), await useSqs(), await useStore()]
    useFunctionEnv(proxy, sqs)
    vi.resetModules()
    const { wire } = await import('../../src/lambda/wiring.ts')
    const client = await useRedisClient(redis.url)
    const front = await useProxy(Number(new URL(sqs.endpoint).port))
    await useRelay({ redisUrl: redis.url, endpoint: `http://127.0.0.1:${front.port}` })
    const packs: number[] = []
    // Notifications that gather during an outage fill the packs.
    front.state.refuse = true
    front.cut()
    await Promise.all(
      AGENTS.flatMap((agent) =>
        Array.from({ length: EACH }, (_, n) =>
          client.publish(
            `enigma:notifications:agents:${agent}`,
            formatPacket({ type: 'status', payload: { ref: agent, status: 'busy', n, number: '27821234567' } }),
          ),
        ),
      ),
    )
    front.state.refuse = false

    const runs: { readonly reference: string; readonly n: number; outcome: string }[] = []
    const app = new Hono<AdapterEnv<Effect>>().post('/agents/status/:ref?', async (c) => {
      const status = await event(c, AgentStatus)
      const run = { reference: status.reference ?? '', n: Number(status.payload['n']), outcome: 'begun' }
      runs.push(run)
      record(c, agentStatus(status))
      if (run.n === BAD && run.reference === REFUSED) return c.text('cannot be done with 27821234567', 422)
      if (run.n === BAD && run.reference === THROWN) throw new Error('broken for 27821234567')
      if (
        run.n === BAD &&
        run.reference === HANGING &&
        runs.filter((one) => one.reference === HANGING && one.n === BAD).length === 1
      )
        await new Promise(() => undefined)
      run.outcome = 'done'
      return c.body(null, 204)
    })
    const handler = fromSqs(app, {
      ...wire(routeOf('agents', 'status')),
      attempts: ATTEMPTS,
      log: () => undefined,
    })
    await useTrigger(sqs, 'agents-status', handler, {
      // A quarter of it is left after a hanging handler. If that is too short, the message waits for its visibility timeout.
      timeoutMs: 6_000,
      onInvocation: ({ records }) =>
        void packs.push(...records.map(({ body }) => body.split('"specversion"').length - 1)),
    })

    const done = (reference: string) =>
      runs.filter((run) => run.reference === reference && run.outcome === 'done').map(({ n }) => n)
    const all = Array.from({ length: EACH }, (_, n) => n)
    const expected = (reference: string) =>
      reference === REFUSED || reference === THROWN ? all.filter((n) => n !== BAD) : all
    await waitFor(() => AGENTS.every((agent) => done(agent).length >= expected(agent).length), 'all to be done', 40_000)
    // Each once, and in order.
    for (const agent of AGENTS) expect([agent, done(agent)]).toEqual([agent, expected(agent)])
    expect(Math.max(...packs)).toBeGreaterThan(50)
    const tries = (reference: string) => runs.filter((run) => run.reference === reference && run.n === BAD).length
    expect([tries(REFUSED), tries(THROWN), tries(HANGING)]).toEqual([1, ATTEMPTS, 2])
    for (const agent of AGENTS.filter((one) => ![REFUSED, THROWN, HANGING].includes(one)))
      expect(runs.filter((run) => run.reference === agent)).toHaveLength(EACH)
    // Later notifications of the agent waited for the outcome of the bad one.
    const at = (reference: string, n: number) => runs.findIndex((run) => run.reference === reference && run.n === n)
    const lastTry = runs.findLastIndex((run) => run.reference === THROWN && run.n === BAD)
    expect(at(THROWN, BAD + 1)).toBeGreaterThan(lastTry)
    // The commit follows the last handler.
    const listed = async () => (await store.read.agents()).items.map(({ ref }) => ref)
    await waitFor(async () => (await listed()).length === AGENTS.length, 'the commit')
    expect(await listed()).toEqual(AGENTS)

    await waitFor(async () => (await store.read.parked()).items.length === 2, 'both to be parked')
    const { items } = await store.read.parked()
    const parked = new Map<string | null, { reason: string; attempts: number | null; failed: number }>()
    for (const entry of items) {
      const [one, ...more] = await readParked(store, entry.id)
      expect(more).toEqual([])
      expect((JSON.parse(String(one?.data)) as { payload: { n: number } }).payload.n).toBe(BAD)
      expect(entry).toMatchObject({
        handler: 'agents/status',
        first_attempt_at: expect.stringMatching(/^20/) as string,
      })
      const detail = await store.read.parkedEntry(entry.id)
      expect(JSON.stringify(detail)).not.toContain('27821234567')
      const failed = detail?.failed_attempts.length ?? 0
      parked.set(entry.subject, { reason: entry.reason, attempts: entry.attempts, failed })
    }
    expect(Object.fromEntries(parked)).toEqual({
      [REFUSED]: { reason: expect.stringContaining('422') as string, attempts: 1, failed: 1 },
      [THROWN]: { reason: expect.stringContaining('500') as string, attempts: ATTEMPTS, failed: ATTEMPTS },
    })
  },
)
