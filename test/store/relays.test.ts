import { expect, test } from 'vitest'
import type { RelayAlive } from '../../src/protocol/index.ts'
import { relayAlive } from '../../src/store/index.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, toEvent } from './events.ts'

const DONE = new Map<string, string[]>()
const DAY = 24 * 3600
const iso = (at: number) => new Date(BASE_MS + at * 1000).toISOString()

/** `relay` was ready at second `at`. */
const alive = (relay: string, at: number, own: Partial<RelayAlive> = {}) =>
  relayAlive(
    toEvent<RelayAlive>('relay', 'alive', relay, { relay, sources: ['main'], started: iso(-60), ...own }, at, {
      transport: 'relay',
      id: `main/o/${at}/0`,
    }),
  )

test('each relay is listed with the last time that it was ready, whatever comes late or twice', async () => {
  const { store } = await useStore()
  await store.commit({
    effects: [
      alive('b', 10),
      alive('a', 20, { sources: ['main', 'north'] }),
      alive('b', 70),
      alive('b', 10),
      alive('b', 40, { started: 'nonsense' }),
    ],
    done: DONE,
  })
  expect(await store.read.relays()).toEqual([
    { relay: 'a', sources: ['main', 'north'], started_at: iso(-60), ready_at: iso(20) },
    { relay: 'b', sources: ['main'], started_at: iso(-60), ready_at: iso(70) },
  ])
})

test('a relay that was not ready for thirty days is forgotten when another one is', async () => {
  const { store } = await useStore()
  await store.commit({ effects: [alive('gone', -31 * DAY)], done: DONE })
  await store.commit({ effects: [alive('here', 0)], done: DONE })
  expect((await store.read.relays()).map(({ relay }) => relay)).toEqual(['here'])
})
