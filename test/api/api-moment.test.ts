import { describe, expect, it } from 'vitest'
import { parseMoment } from '../../src/api/query-parameters.ts'

const AT = Date.UTC(2026, 0, 31, 8)

describe('parseMoment', () => {
  it.each([
    ['2026-01-31T08:00:00Z', AT],
    ['2026-01-31T08:00Z', AT],
    ['2026-01-31t08:00:00z', AT],
    ['2026-01-31T08:00:00.250Z', AT + 250],
    ['2026-01-31T10:00:00+02:00', AT],
    ['2026-01-31T10:00:00+0200', AT],
    ['2026-01-31T10:00:00 02:00', AT],
    ['2026-01-31T03:30:00-04:30', AT],
    ['2026-01-31', Date.UTC(2026, 0, 31)],
    ['2024-02-29', Date.UTC(2024, 1, 29)],
    ['1769846400', AT],
    ['1769846400.250', AT + 250],
    ['0', 0],
  ])('reads %s', (text, ms) => {
    expect(parseMoment(text)).toBe(ms)
  })

  it.each([
    ['yesterday', 'is not a time'],
    ['', 'is not a time'],
    ['-5', 'is not a time'],
    ['31/01/2026', 'is not a time'],
    ['2026-01-31 08:00:00', 'is not a time'],
    ['1769846400000', 'looks like milliseconds'],
    ['2026-01-31T08:00:00', 'needs a zone'],
    ['2026-02-30', 'is not a valid date or time'],
    ['2026-02-29T08:00:00Z', 'is not a valid date or time'],
    ['2026-13-01', 'is not a valid date or time'],
    ['2026-01-31T25:00:00Z', 'is not a valid date or time'],
  ])('refuses %s and says that it %s', (text, words) => {
    expect(parseMoment(text)).toContain(words)
  })
})
