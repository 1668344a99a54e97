import { isNothing, Unsure, type Reading } from './values.ts'
import { parseNumber } from './quantities.ts'

/** 2000-01-01, unix s: there was no such dialler before. */
const EARLIEST = 946_684_800

/** A clock may be wrong, and local time taken for UTC; a call cannot have been dialled a day from now (s). */
const AHEAD = 24 * 3_600

/** Seconds, milliseconds, microseconds and nanoseconds, the first that gives a time which can be. */
const PER_SECOND = [1, 1e3, 1e6, 1e9]

/** ISO 8601, extended or compact, the date alone too; a space, or slashes in the date, as databases print it. */
const ISO =
  /^(\d{4})([-/]?)(\d\d)\2(\d\d)(?:[T\s]?(\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?)?\s*(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?$/i
/** RFC 5322, as `Date` of many languages prints it: only with a zone. */
const RFC_5322 = /^(?:[a-z]{3},?\s+)?\d{1,2}\s+[a-z]{3}\s+\d{4}\s+\d\d:\d\d(?::\d\d)?\s+(?:GMT|UTC|Z|[+-]\d{4})$/i

/**
 * Reads when something happened into unix seconds, to the millisecond. Takes unix time in seconds, ms, µs or ns, as a number or text, and
 * ISO 8601. A time without a zone is read as UTC, and unsure. What is no time between 2000 and a day after `nowMs` is not known, and
 * unsure.
 *
 * @example readMoment('1764000000123', Date.now()) // 1764000000.123
 */
export function readMoment(value: unknown, nowMs: number): Reading<number> {
  if (isNothing(value)) return null
  const latest = nowMs / 1_000 + AHEAD
  const fits = (seconds: number) => seconds >= EARLIEST && seconds <= latest
  const text =
    typeof value === 'string'
      ? value.trim()
      : typeof value === 'number' || typeof value === 'bigint'
        ? String(value)
        : ''
  const number = parseNumber(text)
  const unit = PER_SECOND.find((perSecond) => number !== undefined && fits(number / perSecond))
  if (number !== undefined && unit !== undefined) return toMillis(number / unit)
  const parsed = parseIso(text)
  if (parsed !== undefined && fits(parsed.seconds)) {
    const seconds = toMillis(parsed.seconds)
    return parsed.hasZone ? seconds : new Unsure(value, seconds)
  }
  return new Unsure<number>(value)
}

const toMillis = (seconds: number): number => Math.round(seconds * 1_000) / 1_000

function parseIso(text: string): { readonly seconds: number; readonly hasZone: boolean } | undefined {
  if (RFC_5322.test(text)) {
    const ms = Date.parse(text)
    return Number.isNaN(ms) ? undefined : { seconds: ms / 1_000, hasZone: true }
  }
  const [, year, , month, day, hour = '0', minute = '0', second = '0', fraction = '', zone] = ISO.exec(text) ?? []
  if (year === undefined || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return undefined
  const date = Date.UTC(Number(year), Number(month) - 1, Number(day))
  // Date.UTC takes 30 February for 2 March.
  if (new Date(date).getUTCDate() !== Number(day) || new Date(date).getUTCMonth() !== Number(month) - 1)
    return undefined
  const [, sign, hours = '0', minutes = '0'] = /^([+-])(\d\d):?(\d\d)?$/.exec(zone ?? '') ?? []
  const offset = (Number(hours) * 60 + Number(minutes)) * (sign === '-' ? -60 : 60)
  const clock = Number(hour) * 3_600 + Number(minute) * 60 + Number(`${second}.${fraction}0`)
  return { seconds: date / 1_000 + clock - offset, hasZone: zone !== undefined }
}
