import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readMoment, Unsure } from '../../src/protocol/index.ts'
import {
  parseDuration,
  parseNumber,
  readCode,
  readCount,
  readMilliseconds,
  readSeconds,
} from '../../src/protocol/values.ts'

test.each<[string, number | undefined]>([
  ['31', 31],
  ['+31', 31],
  [' 31 ', 31],
  ['\u00a031\ufeff', 31],
  ['-5', -5],
  ['−5', -5],
  ['1e3', 1_000],
  ['.5', 0.5],
  ['5.', 5],
  ['12,5', 12.5],
  ['12,50', 12.5],
  ['0,125', 0.125],
  ['-0,125', -0.125],
  ['1234,567', 1_234.567],
  ['1.234,5', 1_234.5],
  ['1,234.5', 1_234.5],
  ['1,234,567', 1_234_567],
  ['1.234.567', 1_234_567],
  ['1 234', 1_234],
  ["1'234'567.8", 1_234_567.8],
  ['1\u202f234,5', 1_234.5],
  // Ambiguous, or not a number.
  ['1,500', undefined],
  ['1,234,5', undefined],
  ['1,23,456', undefined],
  ['1 234,567 8', undefined],
  ['1e999', undefined],
  ['0x10', undefined],
  ['--5', undefined],
  ['many', undefined],
  ['', undefined],
])('the number in %j is %s', (text, number) => {
  expect(parseNumber(text)).toBe(number)
})

test.each<[string, number | undefined]>([
  ['00:01:23', 83],
  ['0:00:05', 5],
  ['100:00:00', 360_000],
  ['00:00:01.5', 1.5],
  ['00:00:01,250', 1.25],
  ['PT1M23S', 83],
  ['PT1H', 3_600],
  ['P1DT1S', 86_401],
  ['83 s', 83],
  ['83sec', 83],
  ['1m 23s', 83],
  ['1 min 23 sec', 83],
  ['2 hours', 7_200],
  ['1500 ms', 1.5],
  ['1,5 s', 1.5],
  // Hours and minutes, or minutes and seconds.
  ['01:23', undefined],
  ['00:61:00', undefined],
  ['-00:01:23', undefined],
  ['1,500 s', undefined],
  ['83 x', undefined],
  ['P', undefined],
  ['PT', undefined],
  ['5 mx', undefined],
])('the duration in %j is %s s', (text, seconds) => {
  expect(parseDuration(text)).toBe(seconds)
})

test('a quantity with a valid unit and sign is read; any other value is unsure', () => {
  expect([readSeconds('00:01:23'), readMilliseconds('00:01:23'), readMilliseconds('1.5 s')]).toEqual([
    83, 83_000, 1_500,
  ])
  expect([readSeconds(83.5), readSeconds('12,5'), readCount('+31'), readCode(' 16 '), readCode('16.0')]).toEqual([
    83.5, 12.5, 31, 16, 16,
  ])
  expect(Object.is(readCount(-0), 0)).toBe(true)
  for (const read of [readSeconds, readMilliseconds, readCount, readCode]) {
    for (const odd of [-1, '-1', '01:23', '1,500', 'many', true, [5], { a: 1 }, Infinity, NaN])
      expect(read(odd), `${read.name} ${JSON.stringify(odd)}`).toEqual(new Unsure(odd))
    for (const nothing of [null, undefined, false, '', '  ', 'NULL', '<unknown>', [], {}])
      expect(read(nothing)).toBeNull()
  }
  expect([readCount('00:01:23'), readCode(16.5)]).toEqual([new Unsure('00:01:23'), new Unsure(16.5)])
})

const NOW = Date.parse('2026-03-02T08:00:00Z')

test.each<[unknown, number]>([
  [1_764_000_000, 1_764_000_000],
  ['1764000000', 1_764_000_000],
  [' 1764000000 ', 1_764_000_000],
  ['1,764,000,000', 1_764_000_000],
  ['1764000000,5', 1_764_000_000.5],
  [1_764_000_000.1234, 1_764_000_000.123],
  [1_764_000_000_123, 1_764_000_000.123],
  ['1764000000123', 1_764_000_000.123],
  [1_764_000_000_123_456, 1_764_000_000.123],
  ['1764000000123456789', 1_764_000_000.123],
  [10n ** 9n * 1_764_000_000n, 1_764_000_000],
  ['2025-11-24T16:00:00Z', 1_764_000_000],
  ['2025-11-24T18:00:00+02:00', 1_764_000_000],
  ['2025-11-24 18:00:00 +0200', 1_764_000_000],
  ['2025-11-24T09:30:00-06:30', 1_764_000_000],
  ['2025-11-24T18:00:00.123+02', 1_764_000_000.123],
  ['2025-11-24 16:00:00 UTC', 1_764_000_000],
  ['20251124T160000Z', 1_764_000_000],
  ['Mon, 24 Nov 2025 18:00:00 +0200', 1_764_000_000],
  ['Mon, 24 Nov 2025 16:00:00 GMT', 1_764_000_000],
  // A clock that is ahead, within a day.
  [NOW / 1_000 + 3_600, NOW / 1_000 + 3_600],
])('%s is a moment', (value, seconds) => {
  expect(readMoment(value, NOW)).toBe(seconds)
})

test.each<[unknown, number | null]>([
  // The time zone is not known. UTC is the best guess.
  ['2025-11-24T16:00:00', 1_764_000_000],
  ['2025-11-24 16:00:00.5', 1_764_000_000.5],
  ['2025/11/24 16:00', 1_764_000_000],
  ['20251124160000', 1_764_000_000],
  [20_251_124_160_000, 1_764_000_000],
  ['2025-11-24', 1_763_942_400],
  [0, null],
  [-1_764_000_000, null],
  [1, null],
  [NOW / 1_000 + 25 * 3_600, null],
  [4_102_444_800, null],
  [9_999_999_999, null],
  [1e300, null],
  [Infinity, null],
  [NaN, null],
  ['2026-13-01T00:00:00Z', null],
  ['2025-02-30T00:00:00Z', null],
  ['2099-01-01T00:00:00Z', null],
  ['0000-00-00 00:00:00', null],
  ['24.11.2025 16:00', null],
  ['11/24/2025', null],
  ['noon', null],
  [true, null],
  [[1_764_000_000], null],
])('%s is an unsure moment', (value, used) => {
  expect(readMoment(value, NOW)).toEqual(new Unsure(value, used))
})

test('an empty value is not a moment, and is not unsure', () => {
  for (const nothing of [null, undefined, false, '', ' ', 'NULL', '<unknown>', [], {}])
    expect(readMoment(nothing, NOW)).toBeNull()
})

test('a moment lies between 2000 and a day from now, at a whole millisecond, whatever is sent', () => {
  const some = fc.oneof(
    fc.double(),
    fc.integer(),
    fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }),
    fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
    fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
    fc.string(),
    fc.jsonValue(),
  )
  fc.assert(
    fc.property(some, (value) => {
      const read = readMoment(value, NOW)
      const seconds = read instanceof Unsure ? read.used : read
      if (seconds === null) return
      expect(seconds).toBeGreaterThanOrEqual(946_684_800)
      expect(seconds).toBeLessThanOrEqual(NOW / 1_000 + 86_400)
      expect(new Date(Math.round(seconds * 1_000)).toISOString()).toMatch(/^20\d\d-/)
    }),
    { numRuns: 2_000 },
  )
})
