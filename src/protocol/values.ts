/**
 * Reads single values of a packet, whatever wrote them: numbers as text, text as numbers, and the many ways in which languages write that
 * nothing is known. docs/protocol.md lists what is read how.
 */

/** A value that was not read with certainty: what was sent, and what is used in its place (null: nothing). */
export class Unsure<T = unknown> {
  readonly sent: unknown
  readonly used: T | null

  constructor(sent: unknown, used: T | null = null) {
    this.sent = sent
    this.used = used
  }
}

/** What became of a value; null: not known. */
export type Reading<T> = T | null | Unsure<T>

const NULL_WORD = /^(?:null|none|nil|undefined|n\/a)$/i
const IN_BRACKETS = /^(?:<([^<>]*)>|\(([^()]*)\)|\[([^[\]]*)\]|\{([^{}]*)\})$/
const UNKNOWN_WORD = /^(?:unknown|empty)$/i

/** Whether a text says that nothing is known: blank, `NULL`, `None`, `<unknown>`, `\N`, `NaN` … `0` and `anonymous` say something. */
function isNullText(text: string): boolean {
  const trimmed = text.trim()
  if (trimmed === '' || trimmed === 'NaN' || trimmed === '\\N' || NULL_WORD.test(trimmed)) return true
  const brackets = IN_BRACKETS.exec(trimmed)
  if (brackets === null) return false
  const inner = brackets.slice(1).join('').trim()
  return inner === '' || NULL_WORD.test(inner) || UNKNOWN_WORD.test(inner)
}

/** Whether a value says that nothing is known: null, false, such a text, an empty list or object. */
export function isNothing(value: unknown): boolean {
  if (value === null || value === undefined || value === false) return true
  if (typeof value === 'string') return isNullText(value)
  return typeof value === 'object' && Object.keys(value).length === 0
}

/** Reads a reference, number or word: text as it was written, whatever it came as. */
export function readText(value: unknown): Reading<string> {
  if (isNothing(value)) return null
  if (typeof value === 'string') return value
  return typeof value === 'bigint' || (typeof value === 'number' && Number.isFinite(value))
    ? String(value)
    : new Unsure(value)
}

/** Returns a reference as text, or undefined where there is none: absent, not known, or nothing that could be a reference. */
export function referenceOf(value: unknown): string | undefined {
  const text = readText(value)
  return typeof text === 'string' ? text : undefined
}
