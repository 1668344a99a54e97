import {
  type Cdr,
  createCdrSchema,
  formatEventType,
  formatKey,
  formatSequence,
  formatTraceparent,
  isObject,
  type Notification,
  parseExact,
  parseId,
  toEventSource,
} from '../protocol/index.ts'
import { SEPARATOR } from './document.ts'
import { type CloudEventAttributes, numberOr, plain, type StoreEvent, textOr } from './effect.ts'
import { StoreError } from './store-errors.ts'
import type { CdrRecord } from '../answers/index.ts'

/** A record without what only the read model knows. */
export type OwnRecord = Omit<CdrRecord, 'id' | 'revised'>

/** A CDR as a program wants it, with what it is listed and counted by. */
export type ReadCdr = {
  readonly record: OwnRecord
  /** Every field that the dialler sent. */
  readonly payload: Readonly<Record<string, unknown>>
}

/** Clocks differ; a call that was dialled further in the future (ms) was not dialled then. */
const AHEAD_MS = 24 * 3600_000

/** The parts of an event, besides the payload, that a record shows. */
type Receipt = Pick<StoreEvent, 'source' | 'reference' | 'timeMs'>

/** When a call was dialled, unix s; null where it is not known, or cannot be. */
export function dialedAtOf(cdr: Cdr, receivedMs: number): number | null {
  const seconds = numberOr(cdr.dialed_at)
  return seconds === null || seconds <= 0 || seconds * 1000 > receivedMs + AHEAD_MS ? null : seconds
}

/** Reads a CDR. Where `dialed_at` is not known, it is listed under when it was received: `unsure` names it. */
export function toCdr({ source, reference, timeMs }: Receipt, cdr: Cdr): ReadCdr {
  const { unsure: sent = {}, ...read } = cdr
  const dialedAt = dialedAtOf(cdr, timeMs)
  const record: OwnRecord = {
    source,
    call_ref: textOr(cdr.call_ref),
    dialed_at: new Date(Math.round(dialedAt === null ? timeMs : dialedAt * 1000)).toISOString(),
    unsure: [...new Set([...Object.keys(sent), ...(dialedAt === null ? ['dialed_at'] : [])])],
    campaign_ref: reference || textOr(cdr.ref) || textOr(cdr.campaign_ref),
    extension: textOr(cdr.extension),
    contact_ref: textOr(cdr.contact_ref),
    number: textOr(cdr.number),
    dial_number: textOr(cdr.dial_number),
    end_reason: textOr(cdr.end_reason),
    end_code: numberOr(cdr.end_code),
    call_time: numberOr(cdr.call_time),
    hold_time: numberOr(cdr.hold_time),
    call_dir: textOr(cdr.call_dir),
    recording_url: textOr(cdr.recording_url),
    received_at: new Date(timeMs).toISOString(),
  }
  // As it was sent, also where it could not be read.
  return { record, payload: { ...read, ...sent } }
}

// A schema has one clock, which is set before each CDR: it is read again as it was when it came.
let clock = 0
const schema = createCdrSchema(() => clock)

/** Reads a CDR from its packet; undefined where that is no packet of a CDR. */
function readPacket(receipt: Receipt, data: string): ReadCdr | undefined {
  clock = receipt.timeMs
  try {
    const packet = parseExact(data)
    const result = schema['~standard'].validate(isObject(packet) ? packet['payload'] : undefined)
    return result instanceof Promise || result.issues !== undefined ? undefined : toCdr(receipt, result.value)
  } catch {
    return undefined
  }
}

/** The attributes that follow from an id of the relay's own. */
function readId(id: string) {
  const parts = parseId(id)
  if (parts === undefined) return undefined
  const { source, transport, number, index } = parts
  return {
    ...parts,
    sequence: formatSequence(number, index),
    traceparent: formatTraceparent(source, transport, number, index),
  }
}

type Attributes = Partial<CloudEventAttributes>

/** The attributes of a CDR's event as the relay makes it, as far as they follow from its id, its source and its time. */
const toUsual = (id: string, source: string, timeMs: number): Attributes => ({
  source: toEventSource(source),
  type: formatEventType('campaigns', 'cdr'),
  time: new Date(timeMs).toISOString(),
  datacontenttype: 'application/json',
  channel: formatKey({ type: 'campaigns' }),
  traceparent: readId(id)?.traceparent,
})

/** These have a place of their own, or follow from it. */
const IN_PLACE: ReadonlySet<string> = new Set(['id', 'transport', 'sequence', 'maxwaitms'])

/** The rest is kept as JSON: attributes that are not the usual ones (null: there is none), and a record or payload that the packet does not tell. */
type More = Readonly<Record<string, unknown>> & Partial<ReadCdr>

/** A CDR's event as it is kept. */
export type KeptEvent = {
  /** Unix ms; with a `+` from the number in the id. */
  readonly received: string
  readonly event: string
  readonly packet: string
}

/**
 * A CDR's event in the form in which `lua/cdrs.lua` keeps it: transport, sequence, source and wait, each empty where it follows from the id, and
 * what else does not follow, as JSON. Then the packet's own text. @param digest of the payload
 */
export function formatCdrEvent(event: StoreEvent, read: ReadCdr, digest: string): KeptEvent {
  const { id, transport, sequence, timeMs, reference, attributes } = event
  const own = readId(id)
  const packet = typeof event.data === 'string' ? plain(event.data) : ''
  const usual = toUsual(id, event.source, timeMs)
  const actual: Attributes = attributes ?? { ...usual, subject: reference, channel: event.channel }
  const differing = [...new Set([...Object.keys(usual), ...Object.keys(actual)])]
    .map((name) => [name, actual[name as keyof Attributes] ?? null, usual[name as keyof Attributes] ?? null] as const)
    .filter(([name, is, usually]) => is !== usually && !IN_PLACE.has(name))
    .map(([name, is]) => [name, is] as const)
  const again = readPacket({ source: event.source, reference: actual.subject, timeMs }, packet)
  const isTold = {
    record: JSON.stringify(again?.record) === JSON.stringify(read.record),
    payload: toDigest(again?.payload) === digest,
  }
  const more: More = {
    ...Object.fromEntries(differing),
    ...(isTold.record ? {} : { record: read.record }),
    ...(isTold.payload ? {} : { payload: read.payload }),
  }
  const unless = (follows: string | undefined, value: string) => (value === follows ? '' : plain(value))
  const ms = Math.round(timeMs)
  return {
    received: own !== undefined && ms >= own.number ? `+${ms - own.number}` : String(ms),
    event: [
      unless(own?.transport, transport),
      unless(own?.sequence, sequence),
      unless(own?.source, event.source),
      String(actual.maxwaitms ?? ''),
      Object.keys(more).length === 0 ? '' : JSON.stringify(more),
    ].join(SEPARATOR),
    packet,
  }
}

/** A CDR as it is kept. */
export type KeptCdr = ReadCdr & {
  /** Unix ms: when it was written, by the clock of the functions. */
  readonly keptMs: number
  /** The event that brought it, its packet as it came. */
  readonly event: Notification
}

/** Reads an entry of a CDR's document. */
export function parseCdrEntry(entry: string): KeptCdr {
  const [, delay, , id = '', ms = '', transport, sequence, source, wait = '', json = '', data = ''] =
    entry.split(SEPARATOR)
  const own = readId(id)
  const timeMs = ms.startsWith('+') ? (own?.number ?? 0) + Number(ms.slice(1)) : Number(ms)
  const sourceId = source || own?.source || ''
  const { record, payload, ...differing } = (json === '' ? {} : JSON.parse(json)) as More
  const attributes = Object.entries({ ...toUsual(id, sourceId, timeMs), ...differing })
  const event = {
    ...Object.fromEntries(attributes.filter(([, value]) => value !== null && value !== undefined)),
    id,
    transport: transport || own?.transport,
    sequence: sequence || own?.sequence,
    ...(wait === '' ? {} : { maxwaitms: Number(wait) }),
    data,
  } as Notification
  const told =
    record !== undefined && payload !== undefined
      ? undefined
      : readPacket({ source: sourceId, reference: event.subject, timeMs }, data)
  const read = { record: record ?? told?.record, payload: payload ?? told?.payload ?? {} }
  if (read.record === undefined)
    throw new StoreError('store.upstash.unexpected_reply', 'a CDR in the read model cannot be read')
  return { record: read.record, payload: read.payload, keptMs: timeMs + Number(delay) * 1000, event }
}

/**
 * Tells whether two payloads say the same, however they were serialised: fields in any order at every depth, numbers and text alike
 * (`12` and `"12"`), and null as if it were absent. Two 32-bit FNV-1a hashes with different seeds: copies of one key are compared
 * with each other, and with nothing else.
 */
export function toDigest(payload: unknown): string {
  const text = JSON.stringify(toCanonical(payload)) ?? ''
  return [0x811c9dc5, 0x01000193].map((seed) => hash(text, seed).toString(16).padStart(8, '0')).join('')
}

function toCanonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toCanonical)
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (typeof value !== 'object' || value === null) return value
  return Object.entries(value)
    .filter(([, inner]) => inner !== null && inner !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, inner]) => [name, toCanonical(inner)])
}

function hash(text: string, seed: number): number {
  let state = seed
  for (let at = 0; at < text.length; at++) {
    state ^= text.charCodeAt(at)
    state = Math.imul(state, 0x01000193)
  }
  return state >>> 0
}
