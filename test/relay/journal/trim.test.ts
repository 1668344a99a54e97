import { expect, onTestFinished, test } from 'vitest'
import { findRoute, type Route } from '../../../src/protocol/index.ts'
import { createGivenUp } from '../../../src/relay/pubsub/given-up.ts'
import { openJournal } from '../../../src/relay/journal/journal.ts'
import { trimJournal } from '../../../src/relay/journal/trim.ts'
import { createMetrics } from '../../../src/relay/metrics.ts'
import { captureLog } from '../../support/log.ts'
import { useFolder } from '../../support/relay.ts'

const EACH = 10
const routeOf = (type: string, subType: string) => findRoute(type, subType) as Route
const [GAP, STATUS, CALL] = [routeOf('relay', 'gap'), routeOf('agents', 'status'), routeOf('agents', 'call')]

test('over its bound the journal gives up calls, then the rest, and never what tells of it; nor what is in memory', async () => {
  const { log } = captureLog()
  const journal = openJournal({ dataDir: await useFolder(), relayId: 'test', sourceIds: ['main'], log, now: Date.now })
  onTestFinished(() => journal.close())
  const rows = new Map(
    [GAP, STATUS, CALL].map((route) => [
      route,
      journal.write(
        Array.from({ length: EACH }, (_, index) => ({
          route: route.name,
          sourceId: 'main',
          channel: 'c',
          number: 1,
          index,
          timeMs: index,
          packet: Buffer.from('{}'),
        })),
        [],
      ),
    ]),
  )
  const givenUp = createGivenUp({
    log,
    metrics: createMetrics(),
    onDue: () => undefined,
    signal: new AbortController().signal,
  })
  // Of the statuses, the first three are in memory.
  const behind = new Map([
    [GAP, 0],
    [STATUS, rows.get(STATUS)?.[2] ?? 0],
    [CALL, 0],
  ])
  const left = () => [CALL, STATUS, GAP].map((route) => journal.read(route.name, 0, 1e6).length)
  const trim = (): boolean => trimJournal(behind, { journal, maxBytes: 1, givenUp })
  trim()
  expect(left()).toEqual([0, EACH, EACH])
  trim()
  expect(left()).toEqual([0, 3, EACH])
  trim()
  expect(left()).toEqual([0, 3, EACH])
  expect(journal.lost().map(({ route, lost, fromMs, toMs }) => [route, lost, fromMs, toMs])).toEqual([
    ['agents-call', EACH, 0, 9],
    ['agents-status', 7, 3, 9],
  ])
})
