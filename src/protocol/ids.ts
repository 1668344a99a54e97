/**
 * Ids and sequences. Both are made of a number that one script in the dialler's Redis gives out (a claim's or an epoch's) and an
 * index, so that they never change when something is sent again and never repeat.
 */

/** `relay`: the relay says something itself, such as a gap. */
export type Transport = 'list' | 'pubsub' | 'resync' | 'relay'

const LETTERS = { list: 'l', pubsub: 'p', resync: 'r', relay: 'o' } as const

export const isTransport = (text: unknown): text is Transport =>
  typeof text === 'string' && Object.hasOwn(LETTERS, text)

/** `main/l/1764000000000/17`: the source's id, the transport's letter, the number, the index. */
export function formatId(source: string, transport: Transport, number: number, index: number): string {
  if (stem.source !== source || stem.transport !== transport || stem.number !== number)
    stem = { source, transport, number, text: [source, LETTERS[transport], number, ''].join('/') }
  return stem.text + String(index)
}

/** The parts of an id of the relay's own. */
export type IdParts = {
  readonly source: string
  readonly transport: Transport
  readonly number: number
  readonly index: number
}

/** `main/l/1764000000000/17` → its parts; undefined for an id of somebody else's. */
export function parseId(id: string): IdParts | undefined {
  const [, source = '', letter, number, index] = /^(.*)\/([a-z])\/(\d+)\/(\d+)$/s.exec(id) ?? []
  const [transport] = (Object.keys(LETTERS) as Transport[]).filter((one) => LETTERS[one] === letter)
  return transport === undefined ? undefined : { source, transport, number: Number(number), index: Number(index) }
}

/** `0001764000000000.0000000017`: sorts as text within one source and transport. */
export function formatSequence(number: number, index: number): string {
  if (sequence.number !== number) sequence = { number, text: `${String(number).padStart(16, '0')}.` }
  return sequence.text + String(index).padStart(10, '0')
}

/** Negative when `a` came before `b`. Only for sequences of one source and transport. */
export function compareSequences(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/**
 * A W3C trace context that is the same for each copy of a notification: trace id from the source, number and index.
 * Source: https://www.w3.org/TR/trace-context/
 */
export function formatTraceparent(source: string, transport: Transport, number: number, index: number): string {
  // All notifications of a claim or an epoch share the number: its part is made once.
  if (prefix.source !== source || prefix.transport !== transport || prefix.number !== number) {
    let hash = 0x811c9dc5
    for (let at = 0; at < source.length; at++) hash = Math.imul(hash ^ source.charCodeAt(at), 0x01000193)
    const letter = hex(LETTERS[transport].charCodeAt(0), 2)
    prefix = {
      source,
      transport,
      number,
      trace: `00-${hex(hash >>> 0, 8)}${letter}${hex(number, 14)}`,
      span: `-${letter}${hex(number, 8)}`,
    }
  }
  const digits = hex(index, 8)
  return `${prefix.trace}${digits}${prefix.span}${digits.slice(2)}-01`
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0').slice(-digits)

// Events that come one after the other share their number as a rule: its texts are made once.
let stem = { source: '', transport: 'list' as Transport, number: Number.NaN, text: '' }
let sequence = { number: Number.NaN, text: '' }
let prefix = { source: '', transport: 'list' as Transport, number: -1, trace: '', span: '' }
