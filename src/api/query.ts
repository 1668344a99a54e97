import { validator } from 'hono-openapi'
import * as v from 'valibot'
import { problem } from './problem.ts'

/** How many items a page holds when `limit` is not given, and at most. */
export const DEFAULT_LIMIT = 100
export const MAX_LIMIT = 500

/** The longest word and cursor that are looked at, in characters. */
const MOST_WORD = 256
const MOST_CURSOR = 2_048

/** A word to search for, found only when it is the same. */
export const word = (description: string, most = MOST_WORD) =>
  v.pipe(
    v.string('is given twice'),
    v.nonEmpty('must not be empty'),
    v.maxLength(most, 'is too long'),
    v.description(description),
  )

/** A number that CDRs are searched by. */
export const phoneNumber = (description: string) =>
  v.pipe(
    word(description),
    // A `+` that was not escaped in a query string has become a space.
    v.transform((number) => number.replace(/^ /, '+')),
  )

/** What every list understands. */
export const paging = {
  cursor: v.optional(
    word('The `next` of the previous page. Opaque; keep the other parameters unchanged.', MOST_CURSOR),
  ),
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

/** Yes or no. */
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
 * Checks a query string, answers 400 that names the first bad parameter, and puts the parameters into the OpenAPI document. A
 * parameter that nobody knows is refused: a filter with a slip in its name would find everything.
 */
export function query<Entries extends v.ObjectEntries>(entries: Entries) {
  const all = { ...entries, masked: flag('Masks personal data, as for a token with the role masked.') }
  const known = Object.keys(entries)
  return validator('query', v.strictObject(all), (result) => {
    const stranger = Object.keys(result.data).find((name) => !Object.hasOwn(all, name))
    if (stranger !== undefined) {
      const which = known.length === 0 ? 'This path has no parameters' : `Known parameters: ${known.join(', ')}`
      throw problem('unknown-parameter', `${shown(stranger)} is not a parameter of this path. ${which}.`, {
        parameter: shown(stranger),
        known,
      })
    }
    if (!result.success) {
      const [issue] = result.error
      const [step] = issue?.path ?? []
      const parameter = String(typeof step === 'object' ? step.key : step)
      throw problem('bad-parameter', `${parameter} ${issue?.message ?? 'is not valid'}.`, { parameter })
    }
  })
}

/** Reads the parameters in the path, and puts them with these words into the OpenAPI document. */
export function path<Name extends string>(words: Readonly<Record<Name, string>>) {
  const entries = Object.entries<string>(words).map(([name, description]) => [
    name,
    v.pipe(v.string(), v.description(description)),
  ])
  return validator('param', v.object(Object.fromEntries(entries) as Record<Name, v.GenericSchema<string>>))
}

// A caller's own text goes back to the caller, but not without end.
function shown(name: string): string {
  return name.length > 64 ? `${name.slice(0, 64)}…` : name
}
