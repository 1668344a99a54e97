import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  ageMs,
  compareSequences,
  formatId,
  formatSequence,
  formatTraceparent,
  gunzipBody,
  gzipBody,
  laneOf,
  orderKey,
  packEvent,
  parseId,
  readBody,
} from '../../src/protocol/index.ts'
import { notification } from '../adapter/factories.ts'

const number = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const index = fc.integer({ min: 0, max: 0xffff_ffff })

test('sequences sort as text in the order of their numbers', () => {
  fc.assert(
    fc.property(number, index, number, index, (n1, i1, n2, i2) => {
      expect(Math.sign(compareSequences(formatSequence(n1, i1), formatSequence(n2, i2)))).toBe(
        Math.sign(n1 === n2 ? i1 - i2 : n1 - n2),
      )
    }),
  )
})

test('ids name source, transport, number and index', () => {
  expect(formatId('main', 'list', 1764000000000, 17)).toBe('main/l/1764000000000/17')
  expect(formatId('main', 'pubsub', 1764000000000, 0)).toBe('main/p/1764000000000/0')
})

test('an id is parsed into its parts, whatever the name of its source; foreign ids are not parsed', () => {
  const transport = fc.constantFrom('list', 'pubsub', 'resync', 'relay')
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      transport,
      number,
      index,
      (source, someTransport, someNumber, someIndex) => {
        expect(parseId(formatId(source, someTransport, someNumber, someIndex))).toEqual({
          source,
          transport: someTransport,
          number: someNumber,
          index: someIndex,
        })
      },
    ),
  )
  for (const id of ['', 'main', 'main/x/1/2', 'main/l/1', 'main/l/1/', 'main/l/-1/2', 'main/l/1/2/', 'main/list/1/2'])
    expect(parseId(id), id).toBeUndefined()
})

test('a trace context is valid, the same for copies and another for each notification', () => {
  const seen = new Set<string>()
  for (const source of ['main', 'b'])
    for (const transport of ['list', 'pubsub'] as const)
      for (const n of [1, 1764000000000])
        for (const i of [0, 1, 500]) {
          const trace = formatTraceparent(source, transport, n, i)
          expect(trace).toMatch(/^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01$/)
          expect(formatTraceparent(source, transport, n, i)).toBe(trace)
          seen.add(trace)
        }
  expect(seen.size).toBe(24)
})

test('lanes: in range, the same for the same key, and well spread', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 512 }), (key, lanes) => {
      const lane = laneOf(key, lanes)
      expect(lane).toBe(laneOf(key, lanes))
      expect(lane >= 0 && lane < lanes && Number.isInteger(lane)).toBe(true)
    }),
  )
  const counts = new Map<number, number>()
  for (let agent = 1000; agent < 7400; agent++)
    counts.set(laneOf(String(agent), 64), (counts.get(laneOf(String(agent), 64)) ?? 0) + 1)
  expect(counts.size).toBe(64)
  expect(Math.max(...counts.values())).toBeLessThan(250)
})

test('the order key is the reference, else call_ref, else ref; a number and its text give the same key', () => {
  expect(orderKey('1002', { call_ref: 5 })).toBe('1002')
  expect(orderKey(undefined, { call_ref: 5, ref: 'c' })).toBe('5')
  expect(orderKey(undefined, { call_ref: '5' })).toBe('5')
  expect(orderKey(undefined, { call_ref: null, ref: 12 })).toBe('12')
  expect(orderKey(undefined, {})).toBe('')
  expect(orderKey(undefined, 'text')).toBe('')
})

test('the age of a notification counts from its receipt, plus the time that it may have waited before', () => {
  expect(ageMs({ time: '2026-03-02T08:00:00.000Z' }, Date.parse('2026-03-02T08:00:01.500Z'))).toBe(1_500)
  expect(ageMs({ time: '2026-03-02T08:00:00.000Z', maxwaitms: 60_000 }, Date.parse('2026-03-02T08:00:01.500Z'))).toBe(
    61_500,
  )
})

test('a body is the same after gzip and gunzip; input that is not gzip is refused', async () => {
  const body = JSON.stringify({ text: 'é😀'.repeat(1000) })
  expect(await gunzipBody(await gzipBody(body))).toBe(body)
  await expect(gunzipBody('*')).rejects.toMatchObject({ code: 'protocol.body.not_gzip' })
  await expect(readBody('aGVsbG8=', 'gzip')).rejects.toMatchObject({ code: 'protocol.body.not_gzip' })
})

test('an event is read back from the message in which it is packed, with any characters, plain or gzipped', async () => {
  for (const status of ['on break', 'pausé, 休憩 \u2028', '😀'])
    for (const times of [1, 2_000]) {
      const event = notification('1002', 1, { payload: { status: status.repeat(times) } })
      const { body, contentEncoding } = await packEvent(event)
      expect([status, times, await readBody(body, contentEncoding)]).toEqual([status, times, [event]])
      expect([status, times, contentEncoding]).toEqual([status, times, times === 1 ? undefined : 'gzip'])
    }
})
