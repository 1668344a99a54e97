/*
 * Reads single values of a packet, whatever program wrote them: numbers as text, text as numbers, times, durations, and the many ways in which
 * languages write "unknown". An ambiguous value is not guessed. docs/protocol.md lists the accepted forms.
 */

/** A value that could not be read with certainty: the original, and the value used in its place (null: none). */
export class Unsure<T = unknown> {
  readonly sent: unknown
  readonly used: T | null

  constructor(sent: unknown, used: T | null = null) {
    this.sent = sent
    this.used = used
  }
}

/** The result of reading a value. null: unknown. */
export type Reading<T> = T | null | Unsure<T>

const NULL_WORD = /^(?:null|none|nil|undefined|n\/a)$/i
const IN_BRACKETS = /^(?:<([^<>]*)>|\(([^()]*)\)|\[([^[\]]*)\]|\{([^{}]*)\})$/
const UNKNOWN_WORD = /^(?:unknown|empty)$/i

/** Returns whether a text means "unknown": blank, `NULL`, `None`, `<unknown>`, `\N`, `NaN` … `0` and `anonymous` are values. */
function isNullText(text: string): boolean {
  const trimmed = text.trim()
  if (trimmed === '' || trimmed === 'NaN' || trimmed === '\\N' || NULL_WORD.test(trimmed)) return true
  const brackets = IN_BRACKETS.exec(trimmed)
  if (brackets === null) return false
  const inner = brackets.slice(1).join('').trim()
  return inner === '' || NULL_WORD.test(inner) || UNKNOWN_WORD.test(inner)
}

/** Returns whether a value means "unknown": null, false, a text with this meaning, an empty list or object. */
export function isNothing(value: unknown): boolean {
  if (value === null || value === undefined || value === false) return true
  if (typeof value === 'string') return isNullText(value)
  return typeof value === 'object' && Object.keys(value).length === 0
}

/** Reads a reference, a phone number or a word as text, as it was written. */
export function readText(value: unknown): Reading<string> {
  if (isNothing(value)) return null
  if (typeof value === 'string') return value
  return typeof value === 'bigint' || (typeof value === 'number' && Number.isFinite(value))
    ? String(value)
    : new Unsure(value)
}

/** Returns a reference as text, or undefined if it is absent, unknown or cannot be a reference. */
export function referenceOf(value: unknown): string | undefined {
  const text = readText(value)
  return typeof text === 'string' ? text : undefined
}

const PLAIN = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/
/** Digits, with or without separators between groups of three, and optionally a fraction. */
const GROUPED = /^([+-]?)(\d{1,3}(?:([,.'\u2019_\s])\d{3}(?:\3\d{3})*)|\d+)(?:([.,])(\d+))?$/

/**
 * Parses a number in text: `31`, `+31`, ` 31 `, `1e3`, `12,5`, `1.234,5`, `1,234,567`, `1 234`. Returns undefined for other texts, and for
 * ambiguous ones such as `1,500`, which means 1500 in some countries and 1.5 in others.
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
    // A number with thousands separators never begins with 0, so `0,125` is a fraction.
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

/** Parses a duration in text into seconds: `00:01:23`, `PT1M23S`, `83 s`, `1m 23s`, `1500 ms`. Returns undefined for a text without a unit. */
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
  return Number.isFinite(sum) ? roundToMs(sum) : undefined
}

const roundToMs = (seconds: number): number => Math.round(seconds * 1_000) / 1_000

const toSeconds = (days: number, hours = '0', minutes = '0', seconds = '0'): number =>
  roundToMs(((days * 24 + Number(hours)) * 60 + Number(minutes)) * 60 + Number(seconds.replace(',', '.')))

const isNumeric = (value: unknown): value is number | bigint => typeof value === 'number' || typeof value === 'bigint'

function read(value: unknown, parse: (text: string) => number | undefined, fits: (value: number) => boolean) {
  if (isNothing(value)) return null
  const number = typeof value === 'string' ? parse(value) : isNumeric(value) ? Number(value) : undefined
  if (number === undefined || !Number.isFinite(number) || !fits(number)) return new Unsure<number>(value)
  // Turns -0 into 0.
  return number + 0
}

const isAmount = (value: number): boolean => value >= 0

/** Reads a count: a non-negative number. */
export const readCount = (value: unknown): Reading<number> => read(value, parseNumber, isAmount)

/** Reads a cause code: a non-negative integer. */
export const readCode = (value: unknown): Reading<number> =>
  read(value, parseNumber, (code) => isAmount(code) && Number.isInteger(code))

/** Reads a duration in seconds. */
export const readSeconds = (value: unknown): Reading<number> =>
  read(value, (text) => parseNumber(text) ?? parseDuration(text), isAmount)

/** Reads a duration in milliseconds. */
export const readMilliseconds = (value: unknown): Reading<number> =>
  read(value, (text) => parseNumber(text) ?? roundToMs((parseDuration(text) ?? NaN) * 1_000), isAmount)

/** The earliest plausible time, in Unix seconds: 2000-01-01. Older times are errors of the dialler's clock. */
const MIN_UNIX_SECONDS = 946_684_800

/** How far (s) a time may be in the future, because of a wrong clock, or of local time read as UTC. */
const MAX_AHEAD_SECONDS = 24 * 3_600

/** The units of Unix times: s, ms, µs and ns. The first unit that gives a plausible time is used. */
const PER_SECOND = [1, 1e3, 1e6, 1e9]

/** ISO 8601, extended or compact, or a date alone. Also with a space or with slashes in the date, as databases print it. */
const ISO =
  /^(\d{4})([-/]?)(\d\d)\2(\d\d)(?:[T\s]?(\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?)?\s*(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?$/i
/** RFC 5322, as many languages print dates. A zone is required. */
const RFC_5322 = /^(?:[a-z]{3},?\s+)?\d{1,2}\s+[a-z]{3}\s+\d{4}\s+\d\d:\d\d(?::\d\d)?\s+(?:GMT|UTC|Z|[+-]\d{4})$/i

/**
 * Converts a point in time to Unix seconds, to the millisecond. Accepts Unix time in s, ms, µs or ns, as a number or as text, ISO 8601, and
 * RFC 5322 with a zone. A time without a zone is read as UTC and marked as unsure. A value that is not a time between 2000 and a day after `nowMs` is
 * unknown and marked as unsure.
 *
 * @example readMoment('1764000000123', Date.now()) // 1764000000.123
 */
export function readMoment(value: unknown, nowMs: number): Reading<number> {
  if (isNothing(value)) return null
  const latest = nowMs / 1_000 + MAX_AHEAD_SECONDS
  const fits = (seconds: number) => seconds >= MIN_UNIX_SECONDS && seconds <= latest
  const text = typeof value === 'string' ? value.trim() : isNumeric(value) ? String(value) : ''
  const number = parseNumber(text)
  const unit = PER_SECOND.find((perSecond) => number !== undefined && fits(number / perSecond))
  if (number !== undefined && unit !== undefined) return roundToMs(number / unit)
  const parsed = parseIso(text)
  if (parsed !== undefined && fits(parsed.seconds)) {
    const seconds = roundToMs(parsed.seconds)
    return parsed.hasZone ? seconds : new Unsure(value, seconds)
  }
  return new Unsure<number>(value)
}

function parseIso(text: string): { readonly seconds: number; readonly hasZone: boolean } | undefined {
  if (RFC_5322.test(text)) {
    const ms = Date.parse(text)
    return Number.isNaN(ms) ? undefined : { seconds: ms / 1_000, hasZone: true }
  }
  const [, year, , month, day, hour = '0', minute = '0', second = '0', fraction = '', zone] = ISO.exec(text) ?? []
  if (year === undefined || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return undefined
  const date = Date.UTC(Number(year), Number(month) - 1, Number(day))
  // Date.UTC turns 30 February into 2 March.
  if (new Date(date).getUTCDate() !== Number(day) || new Date(date).getUTCMonth() !== Number(month) - 1)
    return undefined
  const [, sign, hours = '0', minutes = '0'] = /^([+-])(\d\d):?(\d\d)?$/.exec(zone ?? '') ?? []
  const offset = (Number(hours) * 60 + Number(minutes)) * (sign === '-' ? -60 : 60)
  const clock = Number(hour) * 3_600 + Number(minute) * 60 + Number(`${second}.${fraction}0`)
  return { seconds: date / 1_000 + clock - offset, hasZone: zone !== undefined }
}
