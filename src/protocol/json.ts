/**
 * Reading JSON without losing a digit. `JSON.parse` rounds integers above 2^53; references and `call_ref` are such integers on
 * some diallers, so an unsafe integer is returned as the string of its own digits.
 */

const LONG_NUMBER = /\d{16}/

type ReviverContext = { readonly source?: string }
type Reviver = (key: string, value: unknown, context: ReviverContext) => unknown

const keepDigits: Reviver = (_key, value, context) =>
  typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context.source ?? '')
    ? context.source
    : value

/**
 * `JSON.parse`, but an integer that a double cannot hold comes back as a string of its digits.
 *
 * @throws SyntaxError when the text is not JSON.
 */
export function parseExact(text: string): unknown {
  // The reviver is ten times as slow: it is used only where a long number may be in the text.
  return LONG_NUMBER.test(text)
    ? JSON.parse(text, keepDigits as (key: string, value: unknown) => unknown)
    : JSON.parse(text)
}

/** Whether a value is a JSON object (not null, not an array). */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
