import { expect, test } from 'vitest'
import type { Lost } from '../../../src/relay/journal/journal-entry.ts'
import { TRIM_BYTES, trimJournal } from '../../../src/relay/journal/journal-writer.ts'
import { entry, useJournal } from '../../support/journal.ts'
import { useFolder } from '../../support/relay.ts'
import { routeOf } from '../../support/routes.ts'

const EACH = 10
const [GAP, STATUS, STATS, CALL] = [
  routeOf('relay', 'gap'),
  routeOf('agents', 'status'),
  routeOf('agents', 'stats'),
  routeOf('agents', 'call'),
]

test('over its limit the journal discards calls, then the oldest other rows, but never gap notices or notifications in memory', async () => {
  const journal = useJournal(await useFolder())
  // Statuses are younger than statistics.
  for (const [at, route] of [GAP, STATS, STATUS, CALL].entries())
    journal.add(...Array.from({ length: EACH }, (_, n) => ({ ...entry(n, route.name), timeMs: 100 * at + n })))
  // The first three statuses and the first six statistics are in memory.
  const inMemory = new Map([
    [STATUS, 3],
    [STATS, 6],
  ])
  const backlogs = new Map(
    [GAP, STATUS, STATS, CALL].map((route) => [route.name, { route, row: inMemory.get(route) ?? 0 }]),
  )
  const left = () => [CALL, STATS, STATUS, GAP].map((route) => journal.indexes(route.name).length)
  const counted: Lost[] = []
  const trim = () => trimJournal(backlogs, { journal, maxBytes: 1, onDiscarded: (lost) => counted.push(lost) })
  expect([trim(), left()]).toEqual([true, [0, EACH, EACH, EACH]])
  expect([trim(), left()]).toEqual([true, [0, 6, EACH, EACH]])
  expect([trim(), left()]).toEqual([true, [0, 6, 3, EACH]])
  expect([trim(), left()]).toEqual([false, [0, 6, 3, EACH]])
  expect(counted.map(({ route, lost, fromMs, toMs }) => [route, lost, fromMs, toMs])).toEqual([
    ['agents-call', EACH, 300, 309],
    ['agents-stats', 4, 106, 109],
    ['agents-status', 7, 203, 209],
  ])
  expect(journal.lost().toSorted((a, b) => b.route.localeCompare(a.route))).toEqual(
    counted.toSorted((a, b) => b.route.localeCompare(a.route)),
  )
})

test('a large backlog is discarded in portions of limited size in bytes', async () => {
  const journal = useJournal(await useFolder())
  const packet = new Uint8Array(TRIM_BYTES / 4)
  journal.add(...Array.from({ length: 20 }, (_, n) => ({ ...entry(n), packet })))
  const backlogs = new Map([[STATUS.name, { route: STATUS, row: 0 }]])
  trimJournal(backlogs, { journal, maxBytes: 1, onDiscarded: () => undefined })
  expect(journal.indexes()).toEqual(Array.from({ length: 16 }, (_, n) => 4 + n))
})
