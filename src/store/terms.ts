import type { Place } from './reads/list-pages.ts'
import { textOr } from './effect.ts'

/**
 * How CDRs are found: each has an entry under its terms in the index of its quarter of an hour. As `lua/cdrs.lua` writes it.
 */

/** In the order of their codes, so that entries sort as text. */
const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~'

export const QUARTER_MS = 900_000
export const HOUR_MS = 3600_000
export const DAY_MS = 24 * HOUR_MS

/** The id of a CDR, of a digest in hexadecimal digits: 59 bits of it. */
export function toCdrId(digest: string): string {
  const letters = DIGITS.replace(/\W|_/g, '')
  const size = BigInt(letters.length)
  let [id, left] = ['', BigInt(`0x${digest}`)]
  for (; id.length < ID_LENGTH; left /= size) id += letters[Number(left % size)]
  return id
}

/** The term of an agent, a contact or a number in an index: five digits of a hash. */
export function toTerm(of: 'agent' | 'contact' | 'number', value: string): string {
  const digits = of === 'number' ? value.replace(/\D/g, '') : ''
  return hash(`${of}:${digits.length >= LAST_DIGITS ? digits.slice(-LAST_DIGITS) : value}`)
}

/** FNV-1a, 30 bits of it. */
function hash(text: string): string {
  let state = 0x811c9dc5
  for (let at = 0; at < text.length; at++) state = Math.imul(state ^ text.charCodeAt(at), 0x01000193)
  // The low bits of FNV are the worst, and the first digits decide where an entry goes.
  state ^= state >>> 15
  let digits = ''
  for (let at = 0; at < 5; at++, state >>>= 6) digits += DIGITS[state & 63]
  return digits
}

/** The fields of an index that may hold entries of a term, the coarsest first. */
export const fieldsOfTerm = (term: string): string[] => [1, 2, 3].map((length) => `h${term.slice(0, length)}`)

/** The fields of an index that hold all its entries, or all of a campaign, by its name in keys. */
export function fieldsOfTime(campaign?: string): string[] {
  const [kind, of] = campaign === undefined ? ['t', ''] : ['c', `|${campaign}`]
  const minutes = Array.from({ length: QUARTER_MS / 60_000 }, (_, minute) => `${kind}${minute}`)
  const slots = minutes.flatMap((minute) => Array.from({ length: 30 }, (_, slot) => `${minute}:${slot}${of}`))
  return [kind + of, ...minutes.map((minute) => minute + of), ...slots]
}

const ID_LENGTH = 10
const OFFSET_LENGTH = 4
const CHECK_LENGTH = 2

/** The CDRs in a field of an index, by when they were dialled; those of one term where it is given. */
export function* parsePlaces(text: string, quarter: number, term?: string): Generator<Place> {
  const check = term?.slice(-CHECK_LENGTH)
  const length = ID_LENGTH + OFFSET_LENGTH + (check === undefined ? 0 : CHECK_LENGTH)
  for (let at = 0; at + length <= text.length; at += length) {
    const id = text.slice(at, at + ID_LENGTH)
    if (check !== undefined && text.slice(at + ID_LENGTH + OFFSET_LENGTH, at + length) !== check) continue
    let offset = 0
    for (let digit = 0; digit < OFFSET_LENGTH; digit++)
      offset = offset * 64 + DIGITS.indexOf(text[at + ID_LENGTH + digit] as string)
    yield { ms: quarter * QUARTER_MS + offset, id }
  }
}

/** Phone numbers of one line may be written with and without their prefix: their last digits tell them apart. */
const LAST_DIGITS = 7

/** The numbers of a call or a CDR as the script compares them: digits, by commas; empty where there is none. */
export function toNumbers(...values: readonly unknown[]): string {
  const digits = values.map((value) => (textOr(value) ?? '').replace(/\D/g, '').slice(-LAST_DIGITS))
  return [...new Set(digits.filter((number) => number !== ''))].join(',')
}
