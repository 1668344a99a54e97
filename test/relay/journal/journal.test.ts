import { readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { JournalEntry } from '../../../src/relay/journal/journal-entry.ts'
import { entry, openTestJournal, useJournal } from '../../support/journal.ts'
import { captureLog } from '../../support/log.ts'
import { useFolder, waitFor } from '../../support/relay.ts'

test('rows are read back complete and in order, per route and after a given row', async () => {
  const journal = useJournal(await useFolder())
  expect(journal.add(entry(1), entry(2, 'agents-call'), entry(3))).toEqual([1, 1, 2])
  expect(journal.read('agents-status', 0, 10)).toEqual([
    { row: 1, entry: { ...entry(1), packet: new Uint8Array([0xff, 1]) } },
    { row: 2, entry: { ...entry(3), packet: new Uint8Array([0xff, 3]) } },
  ])
  expect(journal.indexes('agents-status', 1)).toEqual([3])
  // A read returns at least one row, and no more rows than fit into its byte limit.
  expect(journal.indexes('agents-status', 0, 1)).toEqual([1])
  expect(journal.indexes('agents-status', 0, 3)).toEqual([1])
  expect(journal.indexes('agents-stats')).toEqual([])
})

test('after reopening, settled rows are gone; the other rows and the time last heard remain', async () => {
  const folder = await useFolder()
  const first = useJournal(folder)
  first.add(entry(1), entry(2), entry(3), entry(4, 'agents-call'))
  first.forget(2, 2)
  first.note('main', 1_000)
  first.note('main', 2_000)
  first.close()
  const second = useJournal(folder)
  expect(second.indexes()).toEqual([1, 3])
  expect([...second.lastRows().keys()].toSorted()).toEqual(['agents-call', 'agents-status'])
  expect([second.noted('main'), second.noted('another')]).toEqual([2_000, undefined])
})

test('a new row gets a number that no row of its route has had in this process or has in the file', async () => {
  const folder = await useFolder()
  const first = useJournal(folder)
  expect(first.add(entry(1), entry(2))).toEqual([1, 2])
  first.forget(1, 2)
  expect(first.nextRow('agents-status')).toBe(3)
  expect(first.add(entry(3))).toEqual([4])
  first.close()
  expect(useJournal(folder).add(entry(4))).toEqual([5])
})

test('routes with any name have separate rows', async () => {
  const folder = await useFolder()
  const names = [
    'agents-call',
    'agents-Call',
    '*',
    '',
    'a"; DROP TABLE until; --',
    'ä%0041\u0000\ud800',
    'x'.repeat(2_000),
  ]
  const first = useJournal(folder)
  first.add(...names.map((name, index) => entry(index, name)))
  first.close()
  const second = useJournal(folder)
  expect([...second.lastRows().keys()].toSorted()).toEqual(names.toSorted())
  expect(names.map((name) => second.indexes(name))).toEqual(names.map((_, index) => [index]))
})

test('the size counts rows, and bytes that are in use', async () => {
  const journal = useJournal(await useFolder())
  const empty = journal.size()
  journal.add(...Array.from({ length: 2_000 }, (_, n) => ({ ...entry(n % 200), packet: new Uint8Array(1_000) })))
  expect(journal.size().rows).toBe(2_000)
  expect(journal.size().bytes - empty.bytes).toBeGreaterThan(2_000_000)
  journal.forget(1, 2_000)
  expect(journal.size().rows).toBe(0)
  expect(journal.size().bytes).toBeLessThan(200_000)
})

test('opening a journal that is in use fails, and the error names the settings to change', async () => {
  const folder = await useFolder()
  useJournal(folder)
  expect(() => openTestJournal(folder)).toThrow(
    expect.objectContaining({
      code: 'relay.journal.locked',
      message: expect.stringMatching(/ENIGMA_DATA_DIR or ENIGMA_RELAY_ID/) as string,
    }),
  )
})

test('relays with different ids share a folder', async () => {
  const folder = await useFolder()
  useJournal(folder, 'one').add(entry(1))
  expect([...useJournal(folder, 'two').lastRows()]).toEqual([])
})

test('G2: a relay with a new id takes over an unused journal of its source, but no journal that is in use or of another source', async () => {
  const folder = await useFolder()
  const running = useJournal(folder, 'running')
  running.add(entry(7))
  const foreign = useJournal(folder, 'of-another-dialler')
  foreign.note('east', 1_000)
  foreign.close()
  const former = useJournal(folder, 'container-1')
  former.add(entry(1), entry(2))
  former.note('main', 1_000)
  former.close()
  const capture = captureLog()
  const next = useJournal(folder, 'container-2', capture)
  expect(next.indexes()).toEqual([1, 2])
  expect(next.noted('main')).toBe(1_000)
  expect((await readdir(folder)).filter((name) => name.endsWith('.db')).toSorted()).toEqual([
    'journal-container-2.db',
    'journal-of-another-dialler.db',
    'journal-running.db',
  ])
  expect(capture.coded('relay.journal.taken_over')).toHaveLength(1)
  // A relay that has a journal keeps it, whatever else is in the folder.
  next.close()
  const third = useJournal(folder, 'running-too')
  third.close()
  running.close()
  expect(useJournal(folder, 'running').indexes()).toEqual([7])
})

test('a folder that cannot be created is reported with the setting to change', async () => {
  const folder = await useFolder()
  await writeFile(join(folder, 'file'), 'in the way')
  const unusable: unknown = expect.objectContaining({
    code: 'relay.journal.unusable',
    message: expect.stringMatching(/ENIGMA_DATA_DIR/) as string,
  })
  expect(() => openTestJournal(join(folder, 'file', 'below'))).toThrow(unusable)
})

test('a failed write stores no row of its batch, and later writes succeed', async () => {
  const journal = useJournal(await useFolder())
  const broken = { ...entry(2, 'agents-call'), channel: undefined as unknown as string }
  expect(() => journal.add(entry(1), entry(1, 'agents-stats'), broken)).toThrow(
    expect.objectContaining({ code: 'relay.journal.unusable' }),
  )
  expect(journal.size().rows).toBe(0)
  journal.add(entry(3), entry(4, 'agents-stats'), entry(5, 'agents-call'))
  expect(journal.size().rows).toBe(3)
  expect([journal.indexes(), journal.indexes('agents-stats'), journal.indexes('agents-call')]).toEqual([[3], [4], [5]])
})

test('the journal file returns unused space to the file system', async () => {
  const folder = await useFolder()
  const file = join(folder, 'journal-test.db')
  const journal = useJournal(folder)
  journal.add(...Array.from({ length: 20_000 }, (_, n) => ({ ...entry(n % 200), packet: new Uint8Array(1_000) })))
  const size = async () => (await stat(file)).size + ((await stat(`${file}-wal`).catch(() => undefined))?.size ?? 0)
  expect(await size()).toBeGreaterThan(20_000_000)
  journal.forget(1, 19_900)
  // Each heartbeat notes its time like this.
  await waitFor(async () => {
    journal.note('main', 1)
    return (await size()) < 3_000_000
  }, 'the files to be small')
  expect(journal.indexes()).toHaveLength(100)
  expect(journal.add(entry(1))).toEqual([20_001])
})

/** The expected content of a journal: entries by route and row. */
type Model = Map<string, Map<number, JournalEntry>>

const ROUTE = fc.constantFrom('agents-status', 'agents-call', 'relay-gap')
const STEP = fc.oneof(
  fc.record({ what: fc.constant('write' as const), routes: fc.array(ROUTE, { maxLength: 8 }) }),
  fc.record({
    what: fc.constant('settle' as const),
    route: ROUTE,
    from: fc.nat(40),
    count: fc.integer({ min: 1, max: 9 }),
  }),
  fc.record({ what: fc.constant('read' as const), route: ROUTE, after: fc.nat(40), bytes: fc.nat(30) }),
  fc.record({ what: fc.constant('fail' as const), route: ROUTE }),
  fc.record({ what: fc.constant('reopen' as const) }),
)

test('the journal behaves like a map under any sequence of writes, settles, reads, failed writes and reopenings', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(STEP, { maxLength: 40 }), async (steps) => {
      const folder = await useFolder()
      const model: Model = new Map()
      const rowsOf = (route: string) => model.get(route) ?? new Map<number, JournalEntry>()
      let journal = useJournal(folder)
      let index = 0
      for (const step of steps) {
        if (step.what === 'write') {
          const entries = step.routes.map((route) => ({
            ...entry(0, route),
            index: ++index,
            packet: new Uint8Array(index % 7),
          }))
          journal.add(...entries).forEach((row, at) => {
            const one = entries[at] as JournalEntry
            expect([...rowsOf(one.route).keys()].every((other) => other < row)).toBe(true)
            model.set(one.route, rowsOf(one.route).set(row, one))
          })
        } else if (step.what === 'settle') {
          const last = step.from + step.count - 1
          journal.write({ settled: new Map([[step.route, [[step.from, last]]]]) })
          for (let row = step.from; row <= last; row++) model.get(step.route)?.delete(row)
        } else if (step.what === 'read') {
          const all = [...rowsOf(step.route)].filter(([row]) => row > step.after)
          let bytes = 0
          const fits = all.filter(([, { packet }], at) => (bytes += packet.length) <= step.bytes || at === 0)
          expect(journal.read(step.route, step.after, step.bytes)).toEqual(
            fits.map(([row, one]) => ({ row, entry: one })),
          )
        } else if (step.what === 'fail')
          expect(() =>
            journal.add(entry(1, step.route), { ...entry(2), channel: undefined as unknown as string }),
          ).toThrow()
        else {
          journal.close()
          journal = useJournal(folder)
          const left = [...model].filter(([, rows]) => rows.size > 0).map(([route]) => route)
          expect([...journal.lastRows().keys()]).toEqual(expect.arrayContaining(left))
        }
        expect(journal.size().rows).toBe([...model.values()].reduce((sum, rows) => sum + rows.size, 0))
      }
      journal.close()
    }),
    { numRuns: 60 },
  )
})

test('attempts survive reopening, even in a file of an older version', async () => {
  const folder = await useFolder()
  const file = join(folder, 'journal-test.db')
  const first = useJournal(folder)
  first.add(entry(1), entry(2), entry(3), entry(4, 'agents-call'))
  first.close()
  // As an older version wrote it: no column, and rows of seven values.
  const old = new DatabaseSync(file)
  const columns = () =>
    old
      .prepare('PRAGMA table_info("heard agents-status")')
      .all()
      .map(({ name }) => name)
  expect(columns()).not.toContain('attempt')
  old.exec(
    'INSERT INTO "heard agents-status" SELECT 9, source, channel, number, 9, time, packet FROM "heard agents-status" WHERE row = 1',
  )
  old.close()
  const second = useJournal(folder)
  second.write({
    attempts: new Map([
      [
        'agents-status',
        new Map([
          [2, 2],
          [9, 4],
          [77, 3],
        ]),
      ],
    ]),
  })
  expect(second.add(entry(10))).toEqual([10])
  second.write({
    attempts: new Map([['agents-status', new Map([[2, 3]])]]),
    settled: new Map([['agents-status', [[3, 3]]]]),
  })
  second.close()
  const third = useJournal(folder)
  const attempts = (route: string) => third.read(route, 0, 1e9).map(({ row, entry: { attempt = 1 } }) => [row, attempt])
  expect(attempts('agents-status')).toEqual([
    [1, 1],
    [2, 3],
    [9, 4],
    [10, 1],
  ])
  expect(attempts('agents-call')).toEqual([[1, 1]])
})
