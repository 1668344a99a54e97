import { validator } from 'hono-openapi'
import * as v from 'valibot'
import { problem } from './problems.ts'

const UNIX_SECONDS = /^\d{1,10}(?:\.\d{1,3})?$/
const UNIX_MILLISECONDS = /^\d{13}$/
const ISO_DATE = /^\d{4}-\d{2}-\d{2}$/
const ISO_TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+ -]\d{2}:?\d{2})$/i
const ISO_TIME_WITHOUT_ZONE = /^\d{4}-\d{2}-\d{2}T[\d:.]+$/i

const WORDS =
  'ISO 8601 with a zone (2026-01-31T08:00:00Z), a date (2026-01-31, midnight UTC) or Unix seconds (1769846400)'

/**
 * Parses a text into Unix ms: ISO 8601 with a zone, a date, or Unix seconds. Returns an error message for any other text. It rejects a
 * local time, because its zone is unknown, and milliseconds.
 */
export function parseMoment(text: string): number | string {
  if (UNIX_SECONDS.test(text)) return Math.round(Number(text) * 1000)
  if (UNIX_MILLISECONDS.test(text)) return `looks like milliseconds; expected ${WORDS}`
  if (ISO_TIME_WITHOUT_ZONE.test(text)) return `needs a zone, such as Z or +02:00; expected ${WORDS}`
  if (!ISO_DATE.test(text) && !ISO_TIME.test(text)) return `is not a time; expected ${WORDS}`
  // An unescaped `+` in a query string becomes a space.
  const ms = Date.parse(text.replace(' ', '+'))
  return Number.isNaN(ms) || !isOnCalendar(text) ? `is not a valid date or time; expected ${WORDS}` : ms
}

// Date.parse turns 2026-02-30 into 2 March.
function isOnCalendar(text: string): boolean {
  const [year, month, day] = text.slice(0, 10).split('-').map(Number)
  return new Date(Date.UTC(year ?? 0, (month ?? 0) - 1, day)).getUTCDate() === day
}

/** Returns the schema of a moment in a query string, which becomes Unix ms. */
export const moment = (description: string) =>
  v.pipe(
    v.string('is given twice'),
    v.description(`${description} ${WORDS}.`),
    v.metadata({ examples: ['2026-01-31T08:00:00Z', '1769846400'] }),
    v.rawTransform<string, number>(({ dataset, addIssue, NEVER }) => {
      const ms = parseMoment(dataset.value)
      if (typeof ms === 'number') return ms
      addIssue({ message: ms })
      return NEVER
    }),
  )

/** The default and maximum number of items per page. */
export const DEFAULT_LIMIT = 100
export const MAX_LIMIT = 500

/** Maximum characters of a word and of a cursor. */
const MAX_WORD = 256
const MAX_CURSOR = 2_048

/** Returns the schema of a word that must match exactly. */
export const word = (description: string, most = MAX_WORD) =>
  v.pipe(
    v.string('is given twice'),
    v.nonEmpty('must not be empty'),
    v.maxLength(most, 'is too long'),
    v.description(description),
  )

/** Returns the schema of a phone number in a search for CDRs. */
export const phoneNumber = (description: string) =>
  v.pipe(
    word(description),
    // An unescaped `+` in a query string becomes a space.
    v.transform((number) => number.replace(/^ /, '+')),
  )

const cursor = v.optional(word('The `next` of the previous page. Keep the other parameters unchanged.', MAX_CURSOR))

/** The parameters of every list. */
export const paging = {
  cursor,
  limit: v.optional(
    v.pipe(
      v.string('is given twice'),
      v.transform(Number),
      v.integer('must be a whole number'),
      v.minValue(1, 'must be at least 1'),
      v.maxValue(MAX_LIMIT, `must be at most ${MAX_LIMIT}`),
      v.description(`Maximum number of items. Default: ${DEFAULT_LIMIT}.`),
    ),
  ),
}

/** The same parameters in a body. */
export const pagingInBody = {
  cursor,
  limit: v.optional(
    v.pipe(
      v.number('must be a number'),
      v.integer('must be a whole number'),
      v.minValue(1, 'must be at least 1'),
      v.maxValue(MAX_LIMIT, `must be at most ${MAX_LIMIT}`),
      v.description(`Maximum number of items. Default: ${DEFAULT_LIMIT}.`),
    ),
  ),
}

/** Returns the schema of true or false. */
export const flag = (description: string) =>
  v.optional(
    v.pipe(
      v.string('is given twice'),
      v.picklist(['true', 'false'], 'must be true or false'),
      v.transform((text) => text === 'true'),
      v.description(description),
    ),
  )

/**
 * Checks a query string, and adds its parameters to the OpenAPI document. Answers 400 with the name of the first invalid parameter. It
 * rejects unknown parameters, because a filter with a misspelled name would match everything.
 */
export function query<Entries extends v.ObjectEntries>(entries = {} as Entries) {
  const all = { ...entries, masked: flag('Masks personal data, as for a token with the role masked.') }
  const known = Object.keys(entries)
  return validator('query', v.strictObject(all), (result) => {
    const unknownName = Object.keys(result.data).find((name) => !Object.hasOwn(all, name))
    if (unknownName !== undefined) {
      const which = known.length === 0 ? 'This path has no parameters' : `Known parameters: ${known.join(', ')}`
      throw problem('unknown-parameter', `${shown(unknownName)} is not a parameter of this path. ${which}.`, {
        parameter: shown(unknownName),
        known,
      })
    }
    if (!result.success) {
      const [issue] = result.error
      const [step] = issue?.path ?? []
      const parameter = String(typeof step === 'object' ? step.key : step)
      const isMissing = Object.hasOwn(all, parameter) && !Object.hasOwn(result.data, parameter)
      const detail = isMissing
        ? `${parameter} is missing: ${v.getDescription(all[parameter] as v.GenericSchema)}`
        : `${parameter} ${issue?.message ?? 'is not valid'}.`
      throw problem('bad-parameter', detail, { parameter })
    }
  })
}

/** Reads the parameters in the path, and adds them with these descriptions to the OpenAPI document. */
export function path<Name extends string>(words: Readonly<Record<Name, string>>) {
  const entries = Object.entries<string>(words).map(([name, description]) => [
    name,
    v.pipe(v.string(), v.description(description)),
  ])
  return validator('param', v.object(Object.fromEntries(entries) as Record<Name, v.GenericSchema<string>>))
}

// Truncates a caller's own text before it is returned.
function shown(name: string): string {
  return name.length > 64 ? `${name.slice(0, 64)}…` : name
}
