import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openJournal, type JournalEntry } from '../../src/relay/journal.ts'
import { useFolder } from '../support/relay.ts'

const entry = (index: number, route = 'agents-status'): JournalEntry => ({
  route, sourceId: 'main', channel: 'enigma:notifications:agents:1002', number: 1_764_000_000_000, index, timeMs: 1_764_000_000_123, packet: Buffer.from([0xff, index]),
})

const useJournal = (folder: string, relayId = 'test') => {
  const journal = openJournal(folder, relayId)
  let open = true
  const close = () => {
    if (open) journal.close()
    open = false
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
  first.noteHeard('main', 1_000)
  first.noteHeard('main', 2_000)
  first.close()
  const second = useJournal(folder)
  expect(second.read('agents-status', 0, 10).map(({ index }) => index)).toEqual([1, 3])
  expect(second.lastHeard('main')).toBe(2_000)
  expect(second.lastHeard('another')).toBeUndefined()
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
  const rows = journal.write(Array.from({ length: 2_000 }, (_, n) => ({ ...entry(n % 200), packet: new Uint8Array(1_000) })), [])
  expect(journal.size().rows).toBe(2_000)
  expect(journal.size().bytes - empty.bytes).toBeGreaterThan(2_000_000)
  journal.write([], rows)
  expect(journal.size().rows).toBe(0)
  expect(journal.size().bytes).toBeLessThan(200_000)
})

test('a second relay with the same journal is told what to do', async () => {
  const folder = await useFolder()
  useJournal(folder)
  expect(() => openJournal(folder, 'test')).toThrow(expect.objectContaining({ code: 'journal_locked', message: expect.stringMatching(/ENIGMA_DATA_DIR or ENIGMA_RELAY_ID/) as string }))
})

test('relays with different ids share a folder', async () => {
  const folder = await useFolder()
  useJournal(folder, 'one').write([entry(1)], [])
  expect(useJournal(folder, 'two').routes()).toEqual([])
})

test('a folder that cannot be made, and a file that is no journal, are said with the way out', async () => {
  const folder = await useFolder()
  await writeFile(join(folder, 'file'), 'in the way')
  const unusable: unknown = expect.objectContaining({ code: 'journal_unusable', message: expect.stringMatching(/ENIGMA_DATA_DIR/) as string })
  expect(() => openJournal(join(folder, 'file', 'below'), 'test')).toThrow(unusable)
  await mkdir(join(folder, 'data'))
  await writeFile(join(folder, 'data', 'journal-test.db'), 'this is no database, it is a text of more than a hundred bytes, so that SQLite looks at its head and refuses it')
  expect(() => openJournal(join(folder, 'data'), 'test')).toThrow(unusable)
})

test('a write that fails writes nothing of its batch', async () => {
  const journal = useJournal(await useFolder())
  const broken = { ...entry(2), channel: undefined as unknown as string }
  expect(() => journal.write([entry(1), broken], [])).toThrow(expect.objectContaining({ code: 'journal_unusable' }))
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
