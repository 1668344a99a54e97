import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { takeJournalLock } from '../../../src/relay/journal/journal-file.ts'
import { entry, openTestJournal, useJournal } from '../../support/journal.ts'
import { captureLog } from '../../support/log.ts'
import { useFolder } from '../../support/relay.ts'

const FILE = 'journal-test.db'
const THIS_IS_NO_DATABASE = 'this is no database, and long enough for SQLite to look at its head. '.repeat(4)
const namesIn = async (folder: string) => (await readdir(folder)).filter((name) => !name.endsWith('.lock')).toSorted()
const asideIn = async (folder: string) =>
  (await readdir(folder)).filter((name) => /\.damaged-[^-]+-[^-]+-[^-]+$/.test(name))

/** Overwrites pages of a file in place. */
async function damage(file: string, ...pages: readonly number[]): Promise<void> {
  const bytes = await readFile(file)
  for (const page of pages) bytes.fill(0xab, page * 4_096, (page + 1) * 4_096)
  await writeFile(file, bytes, { flag: 'r+' })
}

const middleOf = async (file: string) => Math.floor((await readFile(file)).length / 2 / 4_096)

/** Returns `count` consecutive numbers. */
const numbers = (from: number, count: number) => Array.from({ length: count }, (_, n) => from + n)

test('a file that is not a journal is moved aside unchanged, and a new journal is created', async () => {
  const folder = await useFolder()
  await writeFile(join(folder, FILE), THIS_IS_NO_DATABASE)
  const capture = captureLog()
  const journal = useJournal(folder, 'test', capture)
  journal.add(entry(1))
  expect(journal.indexes()).toEqual([1])
  const [aside] = await asideIn(folder)
  expect(await readFile(join(folder, aside ?? ''), 'utf8')).toBe(THIS_IS_NO_DATABASE)
  expect(capture.coded('relay.journal.damaged')).toMatchObject([{ saved: 0 }])
  expect(journal.lost()).toMatchObject([{ sourceId: 'main', cause: 'journal_damaged', lost: 0 }])
})

/** Creates a closed journal of 2,000 rows and two rows of another route, and overwrites three pages in its middle. */
async function useDamaged() {
  const folder = await useFolder()
  const first = useJournal(folder)
  first.add(
    ...numbers(0, 2_000).map((n) => ({ ...entry(0), index: n, packet: new Uint8Array(1_000).fill(n % 251) })),
    entry(1, 'agents-call'),
    entry(2, 'agents-call'),
  )
  first.note('main', 7_000)
  first.close()
  const middle = await middleOf(join(folder, FILE))
  await damage(join(folder, FILE), ...numbers(middle, 3))
  return folder
}

test('G2: recovery of a journal that is damaged in the middle saves the readable rows, with their numbers and notes', async () => {
  const folder = await useDamaged()
  const capture = captureLog()
  const journal = useJournal(folder, 'test', capture)
  const rows = journal.read('agents-status', 0, 1e9)
  // Three pages of 4 KiB hold a dozen rows of 1 KB.
  expect(rows.length).toBeGreaterThan(1_900)
  expect(rows.length).toBeLessThan(2_000)
  expect(rows.map(({ row }) => row)).toEqual(rows.map(({ entry: { index } }) => index + 1))
  expect(
    rows.every(
      ({ entry: { index, packet } }) => packet.length === 1_000 && packet.every((byte) => byte === index % 251),
    ),
  ).toBe(true)
  expect(journal.indexes('agents-call')).toEqual([1, 2])
  expect(journal.noted('main')).toBe(7_000)
  expect(journal.size().rows).toBe(rows.length + 2)
  expect(journal.add(entry(1))).toEqual([2_001])
  expect(capture.coded('relay.journal.damaged')).toMatchObject([{ saved: rows.length + 2 }])
  expect(await asideIn(folder)).toHaveLength(1)
})

test('a journal that is damaged while it is open still stores and returns new rows', async () => {
  const folder = await useFolder()
  const journal = useJournal(folder)
  const batch = (from: number) =>
    numbers(from, 1_000).map((index) => ({ ...entry(0), index, packet: new Uint8Array(2_000) }))
  journal.add(...batch(0))
  journal.add(...batch(1_000))
  // SQLite still reads the rows in the write-ahead log; nothing is left of the file itself.
  const file = join(folder, FILE)
  await writeFile(file, (await readFile(file)).fill(0xcd), { flag: 'r+' })
  const rows = numbers(2_001, 1_000)
  expect(journal.add(...batch(2_000))).toEqual(rows)
  journal.forget(1, 3)
  expect(journal.read('agents-status', 2_000, 1e9).map(({ row }) => row)).toEqual(rows)
  expect(journal.indexes('agents-status', 2_000)).toEqual(batch(2_000).map(({ index }) => index))
})

test('G2: a recovery killed before its draft is complete starts again, and one killed later is finished', async () => {
  const damaged = await useDamaged()
  const recovered = await useFolder()
  await copyFile(join(damaged, FILE), join(recovered, FILE))
  const whole = useJournal(recovered)
  const expected = whole.read('agents-status', 0, 1e9)
  const lost = whole.lost()
  whole.close()
  expect(lost).toMatchObject([{ sourceId: 'main', route: '', cause: 'journal_damaged', lost: 0 }])
  const path = (name: string) => join(damaged, name)
  const start = async () => {
    const journal = useJournal(damaged)
    expect(journal.read('agents-status', 0, 1e9)).toEqual(expected)
    expect([journal.noted('main'), journal.lost()]).toEqual([7_000, lost])
    expect(journal.add(entry(1))).toEqual([2_001])
    journal.forget(2_001, 2_001)
    journal.close()
    expect((await namesIn(damaged)).filter((name) => !name.includes('.damaged-'))).toEqual([FILE])
  }
  // A draft that is not even a database.
  await writeFile(path(`${FILE}.recovery`), THIS_IS_NO_DATABASE)
  await start()

  // Killed after the damaged file was moved aside: its write-ahead log does not belong to the draft.
  await rename(path(FILE), path(`${FILE}.recovery`))
  // The damaged file cannot be read a second time, so the rows must come from the draft.
  for (const name of await asideIn(damaged)) await writeFile(path(name), THIS_IS_NO_DATABASE)
  await writeFile(path(`${FILE}-wal`), THIS_IS_NO_DATABASE)
  await start()
})

/** Opens the journal in a separate process and kills it, later each time, until the process finishes first. */
async function openAndKill(folder: string): Promise<void> {
  const script = `
    import { openJournal } from ${JSON.stringify(new URL('../../../src/relay/journal/journal.ts', import.meta.url).pathname)}
    const log = { info() {}, warn() {}, error() {}, debug() {} }
    openJournal({ dataDir: process.argv[1], relayId: 'test', sourceIds: ['main'], log, now: Date.now }).close()
    process.send('done')`
  const opening = { hasEnded: false }
  for (let afterMs = 1; !opening.hasEnded; afterMs *= 1.7) {
    const child = spawn(process.execPath, ['--input-type=module', '--conditions=source', '-e', script, folder], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    child.once('message', () => (opening.hasEnded = true))
    const exited = once(child, 'exit')
    // The delay starts when there is a draft, or a damaged file that was moved aside.
    const isUnderWay = async () => (await readdir(folder)).some((name) => /\.recovery|\.damaged-/.test(name))
    while (!(await isUnderWay()) && child.exitCode === null) await new Promise(setImmediate)
    await new Promise((resolve) => setTimeout(resolve, afterMs))
    child.kill('SIGKILL')
    await exited
  }
  expect((await namesIn(folder)).filter((name) => name.includes('.recovery'))).toEqual([])
}

test(
  'G2: whenever a recovery is killed, the next start has the readable rows and one loss in the ledger',
  { timeout: 60_000 },
  async () => {
    const folder = await useDamaged()
    await openAndKill(folder)
    const journal = useJournal(folder)
    const rows = journal.read('agents-status', 0, 1e9)
    expect(rows.length).toBeGreaterThan(1_900)
    expect(rows.map(({ row }) => row)).toEqual(rows.map(({ entry: { index } }) => index + 1))
    expect(journal.lost()).toHaveLength(1)
  },
)

test('G2: recovery of a journal that is damaged in many places saves the rows outside the damaged pages', async () => {
  const folder = await useFolder()
  const first = useJournal(folder)
  first.add(
    ...numbers(0, 4_000).map((index) => ({
      ...entry(0),
      index,
      packet: new Uint8Array(index % 50 === 0 ? 9_000 : 500),
    })),
  )
  first.close()
  const pages = [50, 200, 201, 350, 500]
  await damage(join(folder, FILE), ...pages)
  const journal = useJournal(folder)
  // A page holds about seven rows, and part of one larger packet.
  expect(journal.size().rows).toBeGreaterThan(4_000 - 8 * pages.length)
  expect(journal.size().rows).toBeLessThan(4_000)
  expect(journal.lost()).toHaveLength(1)
})

test('G2: a journal whose damage is found while running continues with the readable rows, and its ledger counts the lost ones', async () => {
  const folder = await useFolder()
  const first = useJournal(folder)
  const batch = numbers(0, 4_000).map((n) => ({ ...entry(0), index: n, timeMs: n, packet: new Uint8Array(2_000) }))
  first.add(...batch)
  // Reopen the journal, so that the file contains its write-ahead log.
  first.close()
  const journal = useJournal(folder)
  const middle = await middleOf(join(folder, FILE))
  await damage(join(folder, FILE), ...numbers(middle, 20))
  const rows: number[] = []
  for (let after = 0; ; after = rows.at(-1) as number) {
    const read = journal.read('agents-status', after, 100_000)
    if (read.length === 0) break
    rows.push(...read.map(({ row }) => row))
  }
  expect(rows.length).toBeLessThan(4_000)
  // A damaged page that points to other pages makes some 450 rows unreadable.
  expect(rows.length).toBeGreaterThan(3_400)
  expect(journal.add({ ...entry(0), index: 4_000 })).toEqual([4_001])
  expect(journal.read('agents-status', 0, 1e9).map(({ row }) => row)).toEqual([...rows, 4_001])
  const [lost] = journal.lost()
  expect(lost).toMatchObject({ sourceId: 'main', route: '', cause: 'journal_damaged', lost: 4_000 - rows.length })
  // The time span covers the lost rows and little more.
  const missing = batch.map(({ index }) => index).filter((index) => !rows.includes(index + 1))
  expect(lost?.fromMs).toBeLessThanOrEqual(missing[0] as number)
  expect(lost?.toMs).toBeGreaterThanOrEqual(missing.at(-1) as number)
  expect((lost?.toMs ?? 0) - (lost?.fromMs ?? 0)).toBeLessThan(1_000)
})

test('G2: if no row of a route is readable, the reported loss begins with the oldest readable row of the journal', async () => {
  const folder = await useFolder()
  const first = useJournal(folder)
  first.add(
    { ...entry(1), timeMs: 1_000 },
    { ...entry(2), timeMs: 9_000 },
    ...numbers(1, 9).map((n) => ({ ...entry(n, 'agents-call'), timeMs: 5_000 })),
  )
  first.close()
  const file = join(folder, FILE)
  const db = new DatabaseSync(file)
  const root = Number(
    db.prepare(`SELECT rootpage FROM sqlite_schema WHERE name = 'heard agents-call'`).get()?.['rootpage'],
  )
  db.close()
  await damage(file, root - 1)
  const journal = useJournal(folder)
  expect([journal.indexes(), journal.indexes('agents-call')]).toEqual([[1, 2], []])
  const [lost] = journal.lost()
  expect([lost?.fromMs, (lost?.toMs ?? 0) > 9_000]).toEqual([1_000, true])
})

test('while one process recovers the journal, no other can open it', async () => {
  const folder = await useDamaged()
  const unlock = takeJournalLock(join(folder, FILE))
  expect(() => openTestJournal(folder)).toThrow(expect.objectContaining({ code: 'relay.journal.locked' }))
  unlock()
  expect(useJournal(folder).size().rows).toBeGreaterThan(1_900)
})

/** Creates a journal as the previous version wrote it: one table for all routes. Every third row is settled. */
async function useFormer(count: number) {
  const folder = await useFolder()
  const db = new DatabaseSync(join(folder, FILE))
  db.exec(`PRAGMA journal_mode = WAL;
    CREATE TABLE heard (
      row INTEGER PRIMARY KEY AUTOINCREMENT,
      route TEXT NOT NULL, source TEXT NOT NULL, channel TEXT NOT NULL,
      number INTEGER NOT NULL, ix INTEGER NOT NULL, time INTEGER NOT NULL, packet BLOB NOT NULL
    ) STRICT;
    CREATE INDEX heard_by_route ON heard (route, row);
    CREATE TABLE until (source TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;
    CREATE TABLE lost (
      source TEXT NOT NULL, route TEXT NOT NULL, cause TEXT NOT NULL,
      first INTEGER NOT NULL, last INTEGER NOT NULL, count INTEGER NOT NULL,
      PRIMARY KEY (source, route, cause)
    ) STRICT;
    INSERT INTO until VALUES ('main', 1000), ('#journal', 77);
    INSERT INTO lost VALUES ('main', 'agents-call', 'journal_full', 1, 2, 3);
    BEGIN`)
  const insert = db.prepare(
    'INSERT INTO heard (route, source, channel, number, ix, time, packet) VALUES (?, ?, ?, ?, ?, ?, ?)',
  )
  for (const n of numbers(0, count)) {
    const one = formerEntry(n)
    insert.run(one.route, one.sourceId, one.channel, one.number, one.index, one.timeMs, one.packet)
  }
  db.exec('COMMIT; DELETE FROM heard WHERE ix % 3 = 0')
  return { folder, db }
}
const formerEntry = (n: number) => ({
  ...entry(0, n % 2 === 0 ? 'agents-status' : 'agents-call'),
  index: n,
  timeMs: 1_000 + n,
  packet: new Uint8Array(300).fill(n % 251),
})

function expectConverted(folder: string, count: number): void {
  const capture = captureLog()
  const journal = useJournal(folder, 'test', capture)
  for (const route of ['agents-status', 'agents-call'])
    expect(journal.read(route, 0, 1e9).map((row) => row.entry)).toEqual(
      numbers(0, count)
        .map(formerEntry)
        .filter((one) => one.index % 3 !== 0 && one.route === route),
    )
  expect([journal.noted('main'), journal.noted('#journal')]).toEqual([1_000, 77])
  expect(journal.lost()).toMatchObject([{ route: 'agents-call', cause: 'journal_full', fromMs: 1, toMs: 2, lost: 3 }])
  expect(capture.coded('relay.journal.damaged')).toEqual([])
  journal.close()
}

test('a journal of the previous version is converted completely, in order and with the same ids, and leaves no extra file', async () => {
  const { folder, db } = await useFormer(1_000)
  db.close()
  expectConverted(folder, 1_000)
  expect(await namesIn(folder)).toEqual([FILE])
  expectConverted(folder, 1_000)
})

test(
  'G2: whenever the conversion of a previous version’s journal is killed, the next start has every row',
  { timeout: 60_000 },
  async () => {
    const { folder, db } = await useFormer(20_000)
    db.close()
    await openAndKill(folder)
    expectConverted(folder, 20_000)
  },
)

test('G2: recovery of a previous version’s damaged journal keeps the readable rows and records the loss in the ledger', async () => {
  const { folder, db } = await useFormer(20_000)
  db.close()
  const file = join(folder, FILE)
  await damage(file, await middleOf(file))
  const capture = captureLog()
  const journal = useJournal(folder, 'test', capture)
  const saved = journal.size().rows
  expect(saved).toBeGreaterThan(13_000)
  expect(saved).toBeLessThan(13_333)
  for (const route of ['agents-status', 'agents-call'])
    expect(journal.indexes(route)).toEqual(journal.indexes(route).toSorted((a, b) => a - b))
  expect(capture.coded('relay.journal.damaged')).toMatchObject([{ saved }])
  expect(journal.lost().map(({ cause }) => cause)).toEqual(['journal_full', 'journal_damaged'])
  expect(await asideIn(folder)).toHaveLength(1)
})

test('after a downgrade and an upgrade, rows of the previous version follow the rows that this version left', async () => {
  const { folder, db } = await useFormer(10)
  db.close()
  const first = useJournal(folder)
  first.close()
  const again = new DatabaseSync(join(folder, FILE))
  again.exec(`CREATE TABLE heard (
      row INTEGER PRIMARY KEY AUTOINCREMENT,
      route TEXT NOT NULL, source TEXT NOT NULL, channel TEXT NOT NULL,
      number INTEGER NOT NULL, ix INTEGER NOT NULL, time INTEGER NOT NULL, packet BLOB NOT NULL
    ) STRICT;
    INSERT INTO heard (route, source, channel, number, ix, time, packet) VALUES ('agents-status', 'main', 'c', 2, 0, 1, x'00'), ('agents-stats', 'main', 'c', 2, 1, 1, x'00')`)
  again.close()
  const journal = useJournal(folder)
  expect(journal.indexes('agents-status')).toEqual([2, 4, 8, 0])
  expect(journal.indexes('agents-stats')).toEqual([1])
})

test('numbers of an older version beyond the safe integers are repaired, and every row is read with its repaired id', async () => {
  const { folder, db } = await useFormer(9)
  db.exec(`UPDATE heard SET number = 9000000000000000000 WHERE row > 3; UPDATE heard SET time = -1 WHERE row = 6;
    INSERT INTO until VALUES ('#number:main', 9000000000000000000)`)
  db.close()
  const journal = useJournal(folder)
  expect([journal.noted('main'), journal.noted('#number:main')]).toEqual([1_000, undefined])
  const ids = ['agents-status', 'agents-call'].flatMap((route) =>
    journal.read(route, 0, 1e9).map(({ entry: { number, index } }) => `${number}/${index}`),
  )
  const repaired = (row: number, timeMs: number) => `${timeMs}/${3_000_000_000 + row}`
  expect(ids).toEqual([
    '1764000000000/2',
    repaired(5, 1_004),
    repaired(9, 1_008),
    '1764000000000/1',
    repaired(6, 0),
    repaired(8, 1_007),
  ])
})

test('a number in the file beyond the safe integers is repaired, with the same result at each read', async () => {
  const folder = await useFolder()
  const first = useJournal(folder)
  first.add(entry(1), entry(2))
  first.close()
  const db = new DatabaseSync(join(folder, FILE))
  db.exec('UPDATE "heard agents-status" SET number = 9000000000000000000 WHERE row = 2')
  db.close()
  const journal = useJournal(folder)
  const read = journal.read('agents-status', 0, 1e9)
  expect(read.map(({ entry: { number, index } }) => [number, index])).toEqual([
    [1_764_000_000_000, 1],
    [1_764_000_000_123, 3_000_000_002],
  ])
  expect(journal.read('agents-status', 0, 1e9)).toEqual(read)
})
