import fc from 'fast-check'
import { readFile, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseEvents, toBytes } from '../../../src/protocol/index.ts'
import { formatExportLine, readEntry, toShown } from '../../../src/relay/parking/parked-entry.ts'
import { writeExport } from '../../../src/relay/parking/overflow.ts'
import { matches } from '../../../src/relay/parking/parked-list.ts'
import { cdr, PARKED_MS, parkedEntry } from '../../support/parked.ts'
import { useFolder } from '../../support/relay.ts'

const read = (text: string | Buffer) => readEntry(Buffer.from(text as string))

const anyPacket = fc.oneof(
  fc.uint8Array({ maxLength: 80 }),
  fc.string({ unit: 'binary', maxLength: 80 }).map((text) => Buffer.from(text)),
  fc.json().map((json) => Buffer.from(`{"type": "cdr",\r\n "payload":\n${json}, "big": 12345678901234567890}`)),
)

test('an entry with any packet is read back with its id, reason, time and exact bytes', () => {
  fc.assert(
    fc.property(anyPacket, fc.string(), (packet, detail) => {
      const { id, entry, event } = parkedEntry(7, { packet, detail })
      const found = read(entry)
      expect(found).toMatchObject({
        kind: 'parked',
        id,
        reason: 'refused',
        detail,
        event,
        parkedat: new Date(PARKED_MS + 7_000).toISOString(),
      })
      expect(found.kind === 'parked' && Buffer.from(toBytes(found.notification.data)).equals(packet)).toBe(true)
    }),
    { numRuns: 500 },
  )
})

test.each([
  ['bytes that are no text', Buffer.from([0xff, 0xfe, 0x00]), 'not UTF-8'],
  ['text', '27825550001 called', 'not JSON'],
  ['half an entry', parkedEntry(1).entry.slice(0, -30), 'not JSON'],
  ['a number', '12', 'not a JSON object'],
  ['an entry without an id', parkedEntry(1).entry.replace('"id"', '"di"'), 'no valid id'],
  ['an id that would steer a terminal', parkedEntry(1).entry.replaceAll('main/l', '\\u001b[2J'), 'no valid id'],
  ['an entry without a time', parkedEntry(1).entry.replace(/"parkedat":"[^"]*"/, '"parkedat":"soon"'), 'no valid time'],
  [
    'an event of another',
    parkedEntry(1).entry.replace('main/l/1764000000000/1', 'main/l/1764000000000/2'),
    'its event has another id',
  ],
  [
    'an event that is none',
    '{"id":"a","reason":"b","route":"c","parkedat":"2026-01-31T10:00:00.000Z","event":{"id":"a"}}',
    'no readable event',
  ],
  [
    'several events',
    '{"id":"a","reason":"b","route":"c","parkedat":"2026-01-31T10:00:00.000Z","event":[]}',
    'no readable event',
  ],
])(
  '%s in the list is unreadable: beside its bytes it has only a reason and an id made from them',
  (_what, raw, why) => {
    const entry = read(raw)
    const id = expect.stringMatching(/^unreadable\/[0-9a-f]{16}$/) as string
    expect(entry).toEqual({ kind: 'unreadable', why, id, raw: Buffer.from(raw as string) })
    expect(read(raw).id).toBe(entry.id)
    expect(read(`${String(raw)} `).id).not.toBe(entry.id)
  },
)

test('an entry is shown without personal data, even if SQS quoted the packet', () => {
  const packet =
    '{"type":"cdr","payload":{"call_ref":1,"number":"27825550001","contact_ref":"ACC-77-X","callees":["0215550002"],"recording_url":"https://rec/9.wav"}}'
  const { entry } = parkedEntry(1, { packet, detail: `InvalidMessageContents: bad\n\u001b[2J ${packet}` })
  const found = read(entry)
  if (found.kind !== 'parked') throw new Error(found.why)
  const shown = JSON.stringify(toShown(found, 'main'))
  for (const secret of ['27825550001', 'ACC-77-X', '0215550002', 'https://rec/9.wav', '\\u001b', '\\n'])
    expect(shown).not.toContain(secret)
  expect(shown).toContain('InvalidMessageContents: bad')
  expect(toShown(found, 'main')).toMatchObject({
    source: 'main',
    route: 'campaigns-cdr',
    type: 'enigma.campaigns.cdr',
    received: '2026-01-31T09:59:55.000Z',
  })
})

test('entries are filtered by id, by reason and by time; an unreadable entry matches no time', () => {
  const parked = read(parkedEntry(10, { reason: 'too_large' }).entry)
  const foreign = read('hello')
  expect(matches(parked, {}) && matches(foreign, {})).toBe(true)
  expect([
    matches(parked, { reason: 'too_large' }),
    matches(parked, { reason: 'refused' }),
    matches(foreign, { reason: 'unreadable' }),
  ]).toEqual([true, false, true])
  expect([
    matches(parked, { sinceMs: PARKED_MS + 10_000 }),
    matches(parked, { sinceMs: PARKED_MS + 10_001 }),
    matches(foreign, { sinceMs: 0 }),
  ]).toEqual([true, false, false])
  expect([matches(parked, { ids: new Set([parked.id]) }), matches(foreign, { ids: new Set([parked.id]) })]).toEqual([
    true,
    false,
  ])
})

test('an exported entry is one line from which the exact bytes of any packet can be restored', () => {
  fc.assert(
    fc.property(anyPacket, (packet) => {
      const { id, entry } = parkedEntry(3, { packet })
      const line = formatExportLine(read(entry), 'main')
      expect(line).not.toMatch(/[\n\r]/)
      const value = JSON.parse(line) as { id: string; source: string; event: unknown }
      expect(value).toMatchObject({ id, source: 'main', reason: 'refused', route: expect.any(String) })
      const [event] = parseEvents(line.slice(line.indexOf('"event":') + '"event":'.length, -1))
      expect(event?.id).toBe(id)
      expect(Buffer.from(toBytes(event?.data ?? '')).equals(packet)).toBe(true)
    }),
    { numRuns: 500 },
  )
  const foreign = Buffer.from([1, 2, 255])
  expect(JSON.parse(formatExportLine(readEntry(foreign), 'main'))).toMatchObject({
    reason: 'unreadable',
    entry_base64: foreign.toString('base64'),
  })
})

test('an export is complete or absent, accessible to its owner only, and never replaces an existing file', async () => {
  const folder = await useFolder()
  const file = join(folder, 'parked.jsonl')
  await expect(
    writeExport(file, async (line) => {
      await line(cdr(1))
      throw new Error('Redis went away')
    }),
  ).rejects.toThrow(/^Redis went away$/)
  expect(await readdir(folder)).toEqual([])
  await writeExport(file, (line) => line(cdr(1)))
  expect(await readFile(file, 'utf8')).toBe(`${cdr(1)}\n`)
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  await writeFile(file, 'mine')
  await expect(writeExport(file, (line) => line(cdr(2)))).rejects.toMatchObject({ code: 'relay.parked.file_exists' })
  expect(await readFile(file, 'utf8')).toBe('mine')
  expect(await readdir(folder)).toEqual(['parked.jsonl'])
})
