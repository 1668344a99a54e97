import { isNothing, Unsure, type Reading } from './values.ts'

/** Reads numbers as diallers and their reports write them; what can be read in two ways is not read. */

const PLAIN = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/
/** Digits in groups of three, or none, and then perhaps a fraction. */
const GROUPED = /^([+-]?)(\d{1,3}(?:([,.'\u2019_\s])\d{3}(?:\3\d{3})*)|\d+)(?:([.,])(\d+))?$/

/**
 * Parses a number in text: `31`, `+31`, ` 31 `, `1e3`, `12,5`, `1.234,5`, `1,234,567`, `1 234`. Undefined where it is none, and for
 * `1,500`, which is 1500 to some and 1.5 to others.
 */
export function parseNumber(text: string): number | undefined {
  const trimmed = text.trim().replace(/^\u2212/, '-')
  if (PLAIN.test(trimmed)) {
    const value = Number(trimmed)
    return Number.isFinite(value) ? value : undefined
  }
  const [, sign, whole = '', separator, mark, fraction = ''] = GROUPED.exec(trimmed) ?? []
  if (sign === undefined || (mark !== undefined && mark === separator)) return undefined
  const groups = separator === undefined ? [whole] : whole.split(separator)
  if (separator === ',' && groups.length === 2 && mark === undefined) {
    // A group of thousands never begins with 0: `0,125` is a fraction.
    return groups[0] === '0' ? Number(`${sign}0.${groups[1]}`) : undefined
  }
  return Number(`${sign}${groups.join('')}.${fraction}0`)
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3_600 }
const CLOCK = /^(\d+):([0-5]\d):([0-5]\d(?:[.,]\d+)?)$/
const ISO_DURATION = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:[.,]\d+)?)S)?)?$/i
const WITH_UNITS =
  /^(?:\d[\d.,]*\s*(?:ms|msecs?|milliseconds?|h|hrs?|hours?|m|mins?|minutes?|s|secs?|seconds?)\.?\s*)+$/i
const ONE_UNIT = /(\d[\d.,]*)\s*([a-z]+)/gi

/** Parses a duration in text into seconds: `00:01:23`, `PT1M23S`, `83 s`, `1m 23s`, `1500 ms`. Undefined where the unit is not said. */
export function parseDuration(text: string): number | undefined {
  const trimmed = text.trim()
  const [, hours, minutes, seconds] = CLOCK.exec(trimmed) ?? []
  if (hours !== undefined) return toSeconds(0, hours, minutes, seconds)
  const iso = ISO_DURATION.exec(trimmed)
  if (iso !== null) return /\d/.test(trimmed) ? toSeconds(Number(iso[1] ?? 0), iso[2], iso[3], iso[4]) : undefined
  if (!WITH_UNITS.test(trimmed)) return undefined
  let sum = 0
  for (const [, count = '', word = ''] of trimmed.matchAll(ONE_UNIT)) {
    const unit = word.toLowerCase()
    sum += (parseNumber(count) ?? NaN) * (UNIT_SECONDS[/^m(s|il)/.test(unit) ? 'ms' : unit.charAt(0)] ?? NaN)
  }
  return Number.isFinite(sum) ? toMillis(sum) : undefined
}

const toMillis = (seconds: number): number => Math.round(seconds * 1_000) / 1_000

const toSeconds = (days: number, hours = '0', minutes = '0', seconds = '0'): number =>
  toMillis(((days * 24 + Number(hours)) * 60 + Number(minutes)) * 60 + Number(seconds.replace(',', '.')))

function read(value: unknown, parse: (text: string) => number | undefined, fits: (value: number) => boolean) {
  if (isNothing(value)) return null
  const number =
    typeof value === 'string'
      ? parse(value)
      : typeof value === 'number' || typeof value === 'bigint'
        ? Number(value)
        : undefined
  if (number === undefined || !Number.isFinite(number) || !fits(number)) return new Unsure<number>(value)
  // Not -0.
  return number + 0
}

const isAmount = (value: number): boolean => value >= 0

/** Reads a count: a number that is not negative. */
export const readCount = (value: unknown): Reading<number> => read(value, parseNumber, isAmount)

/** Reads a cause code: a whole number that is not negative. */
export const readCode = (value: unknown): Reading<number> =>
  read(value, parseNumber, (code) => isAmount(code) && Number.isInteger(code))

/** Reads a duration in seconds. */
export const readSeconds = (value: unknown): Reading<number> =>
  read(value, (text) => parseNumber(text) ?? parseDuration(text), isAmount)

/** Reads a duration in milliseconds. */
export const readMilliseconds = (value: unknown): Reading<number> =>
  read(
    value,
    (text) => {
      const seconds = parseDuration(text)
      return parseNumber(text) ?? (seconds === undefined ? undefined : toMillis(seconds * 1_000))
    },
    isAmount,
  )
