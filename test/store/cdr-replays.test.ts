import { expect, test } from 'vitest'
import { cdr } from '../../src/store/index.ts'
import { countCdrs } from '../../src/store/reads/cdr-reads.ts'
import { createUpstash } from '../../src/store/upstash.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, toEvent } from './events.ts'

const tried = (n: number, at = 1, own: object = {}) =>
  cdr(
    toEvent('campaigns', 'cdr', undefined, { call_ref: `c${n}`, dialed_at: BASE_MS / 1_000, ref: 'c1', ...own }, at, {
      transport: 'list',
      id: `main/l/${BASE_MS}/${n + (at - 1) * 10_000}`,
      sequence: `${String(BASE_MS).padStart(16, '0')}.${String(n + (at - 1) * 10_000).padStart(10, '0')}`,
    }),
  )

test('G3: a replay selects CDRs of one second in order of receipt, and none received after keptUntilMs', async () => {
  let nowMs = BASE_MS + 2_000
  const { store } = await useStore({ now: () => nowMs })
  const commit = (from: number, to: number) =>
    store.commit({ effects: Array.from({ length: to - from }, (_, n) => tried(from + n)), done: new Map() })
  await commit(0, 600)
  const keptUntilMs = nowMs
  nowMs += 60_000
  await commit(600, 610)
  const { ids, place } = await store.read.findCdrs({ keptUntilMs }, '')
  const calls = await Promise.all(ids.map(async (id) => (await store.read.cdr(id))?.call_ref))
  expect(calls).toEqual(Array.from({ length: 600 }, (_, n) => `c${n}`))
  expect(place).toBe(null)
})

test('a plan counts each CDR that a replay would send once: every CDR that matches the filters and was kept by then', async () => {
  let nowMs = BASE_MS + 2_000
  const { store, proxy } = await useStore({ now: () => nowMs })
  const commit = (...effects: ReturnType<typeof cdr>[]) => store.commit({ effects, done: new Map() })
  const hour = { dialed_at: BASE_MS / 1_000 - 3_600 }
  await commit(tried(1), tried(2, 1, { end_reason: 'busy' }), tried(3, 1, { ref: 'c2' }), tried(4, 1, hour), tried(5))
  // A revision that names another campaign: the index still names the first.
  await commit(tried(5, 2, { ref: 'c2', call_time: 4 }))
  const keptUntilMs = nowMs
  nowMs += 60_000
  await commit(tried(6))
  const plan = async (query: object) => {
    const cdrs = { route: 'campaigns-cdr', keptUntilMs, ...query }
    const { total, routes, complete } = await store.read.replayPlan({ cdrs })
    const ids: string[] = []
    for (let place: string | null = ''; place !== null;) {
      const found = await store.read.findCdrs(cdrs, place)
      ids.push(...found.ids)
      place = found.place
    }
    expect([total, complete, routes]).toEqual([ids.length, true, total === 0 ? {} : { 'campaigns-cdr': total }])
    return total
  }
  expect(await plan({})).toBe(5)
  expect(await plan({ campaign: 'c1' })).toBe(3)
  expect(await plan({ campaign: 'c2' })).toBe(2)
  expect(await plan({ endReason: 'busy' })).toBe(1)
  expect(await plan({ fromMs: BASE_MS - 60_000 })).toBe(4)
  expect(await plan({ agent: 'nobody' })).toBe(0)

  const upstash = createUpstash({ url: proxy.url, token: 'test-token' })
  const expiries = { cdr: 3 * 24 * 3_600 } as never
  const options = { upstash, prefix: 'enigma:', now: () => nowMs, expiries, callLimitSeconds: 1, timeZone: 'UTC' }
  expect(await countCdrs(options, {}, 6)).toEqual({ total: 6, complete: true })
  expect(await countCdrs(options, {}, 4)).toEqual({ total: 4, complete: false })
})
