import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { openJournal, type JournalEntry } from '../../../src/relay/journal/journal.ts'
import { takeJournalLock } from '../../../src/relay/journal/journal-lock.ts'
import { captureLog } from '../../support/log.ts'
import { useFolder, waitFor } from '../../support/relay.ts'

const entry = (index: number, route = 'agents-status'): JournalEntry => ({
  route,
  sourceId: 'main',
  channel: 'enigma:notifications:agents:1002',
  number: 1_764_000_000_000,
  index,
  timeMs: 1_764_000_000_123,
  packet: Buffer.from([0xff, index]),
})

const open = (dataDir: string, relayId = 'test', { log } = captureLog()) =>
  openJournal({ dataDir, relayId, sourceIds: ['main'], log, now: () => 1_764_000_000_000 })

const useJournal = (folder: string, relayId = 'test', capture = captureLog()) => {
  const journal = open(folder, relayId, capture)
  let isOpen = true
  const close = () => {
    if (isOpen) journal.close()
    isOpen = false
  }
  onTestFinished(close)
  return { ...journal, close }
}

test('what was written is read back whole, in order, by route and behind a row', async () => {
  const journal = useJournal(await useFolder())
  const rows = journal.write([entry(1), entry(2, 'agents-call'), entry(3)], [])
  expect(journal.read('agents-status', 0, 10)).toEqual([
    { ...entry(1), row: rows[0], packet: new Uint8Array([0xff, 1]) },
    { ...entry(3), row: rows[2], packet: new Uint8Array([0xff, 3]) },
  ])
  expect(journal.read('agents-status', rows[0] as number, 10).map(({ index }) => index)).toEqual([3])
  // At least one, and no more than fit into so many bytes.
  expect(journal.read('agents-status', 0, 1).map(({ index }) => index)).toEqual([1])
  expect(journal.read('agents-status', 0, 3).map(({ index }) => index)).toEqual([1])
  expect(journal.routes().toSorted()).toEqual(['agents-call', 'agents-status'])
})

test('what was settled is gone after a reopening; the rest, and until when was heard, is there', async () => {
  const folder = await useFolder()
  const first = useJournal(folder)
  const rows = first.write([entry(1), entry(2), entry(3)], [])
  first.write([], [rows[1] as number])
  first.write([], [], new Map([['main', 1_000]]))
  first.write([], [], new Map([['main', 2_000]]))
  first.close()
  const second = useJournal(folder)
  expect(second.read('agents-status', 0, 10).map(({ index }) => index)).toEqual([1, 3])
  expect(second.noted('main')).toBe(2_000)
  expect(second.noted('another')).toBeUndefined()
})

test('a row number is never used twice, also when the journal was empty in between', async () => {
  const folder = await useFolder()
  const first = useJournal(folder)
  const rows = first.write([entry(1)], [])
  first.write([], rows)
  first.close()
  const [next] = useJournal(folder).write([entry(2)], [])
  expect(next).toBeGreaterThan(rows[0] as number)
})

test('the size counts rows, and bytes that are in use', async () => {
  const journal = useJournal(await useFolder())
  const empty = journal.size()
  const rows = journal.write(
    Array.from({ length: 2_000 }, (_, n) => ({ ...entry(n % 200), packet: new Uint8Array(1_000) })),
    [],
  )
  expect(journal.size().rows).toBe(2_000)
  expect(journal.size().bytes - empty.bytes).toBeGreaterThan(2_000_000)
  journal.write([], rows)
  expect(journal.size().rows).toBe(0)
  expect(journal.size().bytes).toBeLessThan(200_000)
})

test('a second relay with the same journal is told what to do', async () => {
  const folder = await useFolder()
  useJournal(folder)
  expect(() => open(folder)).toThrow(
    expect.objectContaining({
      code: 'relay.journal.locked',
      message: expect.stringMatching(/ENIGMA_DATA_DIR or ENIGMA_RELAY_ID/) as string,
    }),
  )
})

test('relays with different ids share a folder', async () => {
  const folder = await useFolder()
  useJournal(folder, 'one').write([entry(1)], [])
  expect(useJournal(folder, 'two').routes()).toEqual([])
})

test('G2: a relay with a new id takes over the journal on its volume that nobody uses, and leaves alone one that is in use', async () => {
  const folder = await useFolder()
  const running = useJournal(folder, 'running')
  running.write([entry(7)], [])
  const foreign = useJournal(folder, 'of-another-dialler')
  foreign.write([], [], new Map([['east', 1_000]]))
  foreign.close()
  const former = useJournal(folder, 'container-1')
  former.write([entry(1), entry(2)], [], new Map([['main', 1_000]]))
  former.close()
  const capture = captureLog()
  const next = useJournal(folder, 'container-2', capture)
  expect(next.read('agents-status', 0, 10).map(({ index }) => index)).toEqual([1, 2])
  expect(next.noted('main')).toBe(1_000)
  expect((await readdir(folder)).filter((name) => name.endsWith('.db')).toSorted()).toEqual([
    'journal-container-2.db',
    'journal-of-another-dialler.db',
    'journal-running.db',
  ])
  expect(capture.coded('relay.journal.taken_over')).toHaveLength(1)
  // One that has a journal keeps it, whatever else is in the folder.
  next.close()
  const third = useJournal(folder, 'running-too')
  third.close()
  running.close()
  expect(
    useJournal(folder, 'running')
      .read('agents-status', 0, 10)
      .map(({ index }) => index),
  ).toEqual([7])
})

test('a folder that cannot be made is said with the way out', async () => {
  const folder = await useFolder()
  await writeFile(join(folder, 'file'), 'in the way')
  const unusable: unknown = expect.objectContaining({
    code: 'relay.journal.unusable',
    message: expect.stringMatching(/ENIGMA_DATA_DIR/) as string,
  })
  expect(() => open(join(folder, 'file', 'below'))).toThrow(unusable)
})

test('a file that is no journal is put aside as it is, and a new one is begun', async () => {
  const folder = await useFolder()
  const text =
    'this is no database, it is a text of more than a hundred bytes, so that SQLite looks at its head and refuses it'
  await writeFile(join(folder, 'journal-test.db'), text)
  const capture = captureLog()
  const journal = useJournal(folder, 'test', capture)
  journal.write([entry(1)], [])
  expect(journal.read('agents-status', 0, 10).map(({ index }) => index)).toEqual([1])
  const [aside] = (await readdir(folder)).filter((name) => name.includes('.damaged-'))
  expect(await readFile(join(folder, aside ?? ''), 'utf8')).toBe(text)
  expect(capture.coded('relay.journal.damaged')).toMatchObject([{ saved: 0 }])
})

/** A closed journal of 2,000 rows, of which a page in the middle is overwritten. */
async function useDamaged() {
  const folder = await useFolder()
  const first = useJournal(folder)
  first.write(
    Array.from({ length: 2_000 }, (_, n) => ({
      ...entry(n % 200),
      index: n,
      packet: new Uint8Array(1_000).fill(n % 251),
    })),
    [],
    new Map([['main', 7_000]]),
  )
  first.close()
  const file = join(folder, 'journal-test.db')
  const bytes = await readFile(file)
  const middle = Math.floor(bytes.length / 2 / 4_096) * 4_096
  await writeFile(file, bytes.fill(0xab, middle, middle + 3 * 4_096))
  return folder
}

test('G2: of a journal that is damaged in the middle all rows that can be read are saved, with their numbers and notes', async () => {
  const folder = await useDamaged()
  const capture = captureLog()
  const journal = useJournal(folder, 'test', capture)
  const rows = journal.read('agents-status', 0, 1e9)
  // Three pages of 4 KiB hold a dozen rows of 1 KB.
  expect(rows.length).toBeGreaterThan(1_900)
  expect(rows.length).toBeLessThan(2_000)
  expect(rows.map(({ row }) => row)).toEqual(rows.map(({ index }) => index + 1))
  expect(
    rows.every(({ index, packet }) => packet.length === 1_000 && packet.every((byte) => byte === index % 251)),
  ).toBe(true)
  expect(journal.noted('main')).toBe(7_000)
  expect(journal.size().rows).toBe(rows.length)
  expect(journal.write([entry(1)], [])).toEqual([2_001])
  expect(capture.coded('relay.journal.damaged')).toMatchObject([{ saved: rows.length }])
  expect(
    (await readdir(folder)).filter((name) => /^journal-test\.db\.damaged-[^-]+-[^-]+-[^-]+$/.test(name)),
  ).toHaveLength(1)
})

test('a journal that is damaged while it is open goes on with what can be read', async () => {
  const folder = await useFolder()
  const capture = captureLog()
  const journal = useJournal(folder, 'test', capture)
  const batch = (from: number) =>
    Array.from({ length: 1_000 }, (_, n) => ({ ...entry(0), index: from + n, packet: new Uint8Array(2_000) }))
  journal.write(batch(0), [])
  journal.write(batch(1_000), [])
  // What is in the write-ahead log is read from there; of the file itself nothing is left.
  const file = join(folder, 'journal-test.db')
  await writeFile(file, (await readFile(file)).fill(0xcd), { flag: 'r+' })
  const rows = journal.write(batch(2_000), [1, 2, 3])
  expect(rows).toEqual(batch(2_001).map(({ index }) => index))
  expect(journal.read('agents-status', 2_000, 1e9).map(({ index }) => index)).toEqual(
    batch(2_000).map(({ index }) => index),
  )
})

test('a write that fails writes nothing of its batch', async () => {
  const journal = useJournal(await useFolder())
  const broken = { ...entry(2), channel: undefined as unknown as string }
  expect(() => journal.write([entry(1), broken], [])).toThrow(
    expect.objectContaining({ code: 'relay.journal.unusable' }),
  )
  expect(journal.size().rows).toBe(0)
  journal.write([entry(3)], [])
  expect(journal.size().rows).toBe(1)
})

test('rows of a route that is no longer known go to the one that is named, and keep their place', async () => {
  const journal = useJournal(await useFolder())
  journal.write([entry(1, 'gone'), entry(2, 'agents-call'), entry(3, 'other'), entry(4, 'gone')], [])
  journal.reroute(['agents-call', 'other'], 'other')
  expect(journal.read('other', 0, 10).map(({ index }) => index)).toEqual([1, 3, 4])
  expect(journal.read('agents-call', 0, 10).map(({ index }) => index)).toEqual([2])
})

const THIS_IS_NO_DATABASE = 'this is no database, and long enough for SQLite to look at its head. '.repeat(4)
const namesIn = async (folder: string) => (await readdir(folder)).filter((name) => !name.endsWith('.lock')).toSorted()

test('G2: a recovery that was killed before its draft was whole begins again, and one that was killed later is finished', async () => {
  const damaged = await useDamaged()
  const recovered = await useDamaged()
  const whole = useJournal(recovered)
  const expected = whole.read('agents-status', 0, 1e9)
  const lost = whole.lost()
  whole.close()
  expect(lost).toMatchObject([{ sourceId: 'main', route: '', cause: 'journal_damaged', lost: 0 }])
  const [aside = ''] = (await readdir(recovered)).filter((name) => name.includes('.damaged-'))
  const path = (name: string) => join(damaged, name)
  const start = async () => {
    const journal = useJournal(damaged)
    expect(journal.read('agents-status', 0, 1e9)).toEqual(expected)
    expect([journal.noted('main'), journal.lost()]).toEqual([7_000, lost])
    expect(journal.write([entry(1)], [])).toEqual([2_001])
    journal.write([], [2_001])
    journal.close()
    expect((await namesIn(damaged)).filter((name) => !name.includes('.damaged-'))).toEqual(['journal-test.db'])
  }
  // Half a draft, and even one that is none.
  await writeFile(path('journal-test.db.recovery'), THIS_IS_NO_DATABASE)
  await start()

  // Killed when the damaged file was aside: its write-ahead log is not the draft's.
  await rename(path('journal-test.db'), path('journal-test.db.recovery'))
  // Nothing can be had from the damaged file a second time: the draft is what counts.
  for (const name of await readdir(damaged))
    if (name.includes('.damaged-')) await writeFile(path(name), THIS_IS_NO_DATABASE)
  await writeFile(path('journal-test.db-wal'), THIS_IS_NO_DATABASE)
  const journal = useJournal(damaged)
  expect(journal.read('agents-status', 0, 1e9)).toEqual(expected)
  journal.close()

  // A version that put the file aside first was killed before it had saved anything, or before it had committed.
  for (const isEmptyThere of [false, true]) {
    for (const name of await readdir(damaged)) await rm(path(name))
    await copyFile(join(recovered, aside), path(aside))
    if (isEmptyThere) {
      const empty = await useFolder()
      useJournal(empty).close()
      await copyFile(join(empty, 'journal-test.db'), path('journal-test.db'))
    }
    await start()
  }
})

test(
  'G2: whenever a recovery is killed, the next start has all that can be read, and says once what is missing',
  { timeout: 60_000 },
  async () => {
    const script = `
    import { openJournal } from ${JSON.stringify(new URL('../../../src/relay/journal/journal.ts', import.meta.url).pathname)}
    const log = { info() {}, warn() {}, error() {}, debug() {} }
    openJournal({ dataDir: process.argv[1], relayId: 'test', sourceIds: ['main'], log, now: Date.now }).close()
    process.send('done')`
    const folder = await useDamaged()
    const recovery = { hasEnded: false }
    for (let afterMs = 1; !recovery.hasEnded; afterMs *= 1.7) {
      const child = spawn(process.execPath, ['--input-type=module', '--conditions=source', '-e', script, folder], {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      })
      child.once('message', () => (recovery.hasEnded = true))
      const exited = once(child, 'exit')
      // From the moment on at which there is a draft, or none any more.
      const isUnderWay = async () => (await readdir(folder)).some((name) => /\.recovery|\.damaged-/.test(name))
      while (!(await isUnderWay()) && child.exitCode === null) await new Promise(setImmediate)
      await new Promise((resolve) => setTimeout(resolve, afterMs))
      child.kill('SIGKILL')
      await exited
    }
    const journal = useJournal(folder)
    const rows = journal.read('agents-status', 0, 1e9)
    expect(rows.length).toBeGreaterThan(1_900)
    expect(rows.map(({ row }) => row)).toEqual(rows.map(({ index }) => index + 1))
    expect(journal.lost()).toHaveLength(1)
    expect((await namesIn(folder)).filter((name) => name.includes('.recovery'))).toEqual([])
  },
)

test('G2: of a journal that is damaged in many places every row is saved that no damaged page held', async () => {
  const folder = await useFolder()
  const first = useJournal(folder)
  first.write(
    Array.from({ length: 4_000 }, (_, n) => ({
      ...entry(0),
      index: n,
      packet: new Uint8Array(n % 50 === 0 ? 9_000 : 500),
    })),
    [],
  )
  first.close()
  const file = join(folder, 'journal-test.db')
  const bytes = await readFile(file)
  const pages = [50, 200, 201, 350, 500]
  for (const page of pages) bytes.fill(0xab, page * 4_096, (page + 1) * 4_096)
  await writeFile(file, bytes)
  const journal = useJournal(folder)
  // Seven rows or so on a page, and one whose packet goes on there.
  expect(journal.size().rows).toBeGreaterThan(4_000 - 8 * pages.length)
  expect(journal.size().rows).toBeLessThan(4_000)
  expect(journal.lost()).toHaveLength(1)
})

test('G2: rows that a damage found while running has taken are in the ledger, with their number', async () => {
  const folder = await useFolder()
  const journal = useJournal(folder)
  const batch = Array.from({ length: 4_000 }, (_, n) => ({
    ...entry(0),
    index: n,
    timeMs: n,
    packet: new Uint8Array(2_000),
  }))
  journal.write(batch, [])
  // Through a second journal, so that the log is in the file.
  journal.close()
  const again = useJournal(folder)
  const file = join(folder, 'journal-test.db')
  const bytes = await readFile(file)
  const middle = Math.floor(bytes.length / 2 / 4_096) * 4_096
  await writeFile(file, bytes.fill(0xab, middle, middle + 20 * 4_096), { flag: 'r+' })
  const rows: number[] = []
  for (let after = 0; ; after = rows.at(-1) as number) {
    const read = again.read('agents-status', after, 100_000)
    if (read.length === 0) break
    rows.push(...read.map(({ row }) => row))
  }
  expect(rows.length).toBeLessThan(4_000)
  const [lost] = again.lost()
  expect(lost).toMatchObject({ sourceId: 'main', route: '', cause: 'journal_damaged', lost: 4_000 - rows.length })
  // Within the hole, and a page around it.
  const missing = batch.map(({ index }) => index).filter((index) => !rows.includes(index + 1))
  expect(lost?.fromMs).toBeLessThanOrEqual(missing[0] as number)
  expect(lost?.toMs).toBeGreaterThanOrEqual(missing.at(-1) as number)
  expect((lost?.toMs ?? 0) - (lost?.fromMs ?? 0)).toBeLessThan(1_000)
})

test('while one process recovers the journal no other can have it', async () => {
  const folder = await useDamaged()
  const unlock = takeJournalLock(join(folder, 'journal-test.db'))
  expect(() => open(folder)).toThrow(expect.objectContaining({ code: 'relay.journal.locked' }))
  unlock?.()
  expect(useJournal(folder).size().rows).toBeGreaterThan(1_900)
})

test('numbers that an older version kept from beyond the safe integers are put right: all is read, each with an id of its own', async () => {
  const folder = await useFolder()
  const first = useJournal(folder)
  first.write(
    [1, 2, 3].map((index) => entry(index)),
    [],
    new Map([['main', 1_000]]),
  )
  first.close()
  const db = new DatabaseSync(join(folder, 'journal-test.db'))
  db.exec(`UPDATE heard SET number = 9000000000000000000, ix = row WHERE row > 1; UPDATE heard SET time = -1 WHERE row = 3;
    INSERT INTO until VALUES ('#number:main', 9000000000000000000)`)
  db.close()
  const journal = useJournal(folder)
  expect([journal.noted('main'), journal.noted('#number:main')]).toEqual([1_000, undefined])
  const ids = journal.read('agents-status', 0, 1e9).map(({ number, index }) => {
    expect([number, index].every(Number.isSafeInteger)).toBe(true)
    return `${number}/${index}`
  })
  expect(new Set(ids).size).toBe(3)
  expect(ids).toEqual(journal.read('agents-status', 0, 1e9).map(({ number, index }) => `${number}/${index}`))
  expect(journal.oldest('agents-status', 0, 10)).toHaveLength(3)
})

test.each([['a file of this version'], ['a file that an older version made']])(
  '%s gives its space back to the file system when it is not needed any more',
  async (which) => {
    const folder = await useFolder()
    const file = join(folder, 'journal-test.db')
    if (which.includes('older')) {
      const db = new DatabaseSync(file)
      db.exec(
        'PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS until (source TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT',
      )
      db.close()
    }
    const journal = useJournal(folder)
    const rows = journal.write(
      Array.from({ length: 20_000 }, (_, n) => ({ ...entry(n % 200), packet: new Uint8Array(1_000) })),
      [],
    )
    const size = async () => (await stat(file)).size + ((await stat(`${file}-wal`).catch(() => undefined))?.size ?? 0)
    expect(await size()).toBeGreaterThan(20_000_000)
    journal.write([], rows.slice(100))
    // As each heartbeat notes that it was heard.
    await waitFor(async () => {
      journal.write([], [], new Map([['main', 1]]))
      return (await size()) < 3_000_000
    }, 'the files to be small')
    expect(journal.read('agents-status', 0, 1e9)).toHaveLength(100)
    expect(journal.write([entry(1)], [])).toEqual([20_001])
  },
)
