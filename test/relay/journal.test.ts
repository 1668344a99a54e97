import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openJournal, type JournalEntry } from '../../src/relay/journal.ts'
import { captureLog } from '../support/log.ts'
import { useFolder } from '../support/relay.ts'

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
  expect(journal.read('agents-status', 0, 1).map(({ index }) => index)).toEqual([1])
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
  const rows = journal.read('agents-status', 0, 5_000)
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
  expect(journal.read('agents-status', 2_000, 5_000).map(({ index }) => index)).toEqual(
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
