/**
 * Reads JSON without losing a digit of an identifier. `JSON.parse` rounds long numbers, and forgets how a number was written: to it
 * `1764000000.10` and `1764000000.1` are one. A reference that some dialler writes as a number is text all the same.
 */

/**
 * Finds a number that `String(JSON.parse(…))` may write in another way: 16 characters and more, an exponent, a fraction that ends in 0 or
 * begins with six of them, and -0. Every other number comes back as it was written, since a double holds 15 digits.
 */
const INEXACT = /(?:^|[:[,\s])-?(?:\d[\d.]{15}|\d+(?:\.\d+)?[eE]|\d+\.(?:0{6}|\d*0(?!\d))|(?<=-)0(?![.\d]))/

/** The fields whose value is a name and no quantity: all that the payload schemas take as text, and what is called a reference elsewhere. */
const IDENTIFIER = /(?:^|_)(?:ref|id|number)$|^(?:agent|extension|status|end_reason|call_dir|recording_url)$/

/** Whether a field of this name names something, also where its value is written as a number. */
export const isIdentifier = (name: string): boolean => IDENTIFIER.test(name)

const INTEGER = /^-?\d+$/

type ReviverContext = { readonly source?: string }
type Reviver = (key: string, value: unknown, context: ReviverContext) => unknown

const keepDigits: Reviver = (key, value, { source }) => {
  if (typeof value !== 'number' || source === undefined || String(value) === source) return value
  return isIdentifier(key) || (!Number.isSafeInteger(value) && INTEGER.test(source)) ? source : value
}

/** Whether a JSON text has a number that only `parseExact` gives back as it was written. */
export function isInexact(text: string): boolean {
  return INEXACT.test(text)
}

/**
 * Parses JSON as `JSON.parse` does, except for numbers that it would change: one that names something (`call_ref`, `number`, any
 * `…_ref`) becomes the text that was written, and so does an integer that a double cannot hold. A byte order mark before the text is
 * skipped.
 *
 * @throws SyntaxError when the text is not JSON.
 * @example parseExact('{"call_ref":1764000000.10,"call_time":1.50}') // { call_ref: '1764000000.10', call_time: 1.5 }
 */
export function parseExact(text: string): unknown {
  // The reviver is ten times as slow: it is used only where it is needed.
  return isInexact(text)
    ? JSON.parse(withoutMark(text), keepDigits as (key: string, value: unknown) => unknown)
    : parseJson(text)
}

/** `JSON.parse`, for a text that may begin with a byte order mark, as RFC 8259 (section 8.1) allows. @throws SyntaxError */
export function parseJson(text: string): unknown {
  return JSON.parse(withoutMark(text))
}

/** Whether a text begins with a byte order mark. */
export const hasMark = (text: string): boolean => text.charCodeAt(0) === 0xfeff

const withoutMark = (text: string): string => (hasMark(text) ? text.slice(1) : text)

/** Whether a value is a JSON object (not null, not an array). */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
