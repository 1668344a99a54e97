import { expect, test } from 'vitest'
import { cdr } from '../../src/store/index.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, toEvent } from './events.ts'

const tried = (n: number, at = 1) =>
  cdr(
    toEvent('campaigns', 'cdr', undefined, { call_ref: `c${n}`, dialed_at: BASE_MS / 1_000, ref: 'c1' }, at, {
      transport: 'list',
      id: `main/l/${BASE_MS}/${n}`,
      sequence: `${String(BASE_MS).padStart(16, '0')}.${String(n).padStart(10, '0')}`,
    }),
  )

test('G3: CDRs of one second are sent again in the order in which they came, and later ones are not meant', async () => {
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
