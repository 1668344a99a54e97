import type { CdrRecord } from '../answers/index.ts'
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

/** A record without the fields that only the read model knows. */
export type OwnRecord = Omit<CdrRecord, 'id' | 'revised'>

/** A CDR as programs read it, with its full payload. */
export type ReadCdr = {
  readonly record: OwnRecord
  /** Every field that the dialler sent. */
  readonly payload: Readonly<Record<string, unknown>>
}

/** Clocks differ. A `dialed_at` that is more than this (ms) in the future is invalid. */
const MAX_AHEAD_MS = 24 * 3600_000

/** The parts of an event, besides the payload, that a record shows. */
type Receipt = Pick<StoreEvent, 'source' | 'reference' | 'timeMs'>

/** Returns when a call was dialled (Unix s), or null if that is unknown or impossible. */
export function dialedAtOf(cdr: Cdr, receivedMs: number): number | null {
  const seconds = numberOr(cdr.dialed_at)
  return seconds === null || seconds <= 0 || seconds * 1000 > receivedMs + MAX_AHEAD_MS ? null : seconds
}

/** Converts a CDR. Without a valid `dialed_at`, the CDR is listed under its time of receipt, and `unsure` contains `dialed_at`. */
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
  // The payload contains the original values, also of fields that could not be read.
  return { record, payload: { ...read, ...sent } }
}

// The schema has one clock. It is set before each CDR, so that the CDR is read as it was at the time of receipt.
let clock = 0
const schema = createCdrSchema(() => clock)

/** Reads a CDR from its packet. Returns undefined if the packet is not a CDR. */
function readCdrPacket(receipt: Receipt, data: string): ReadCdr | undefined {
  clock = receipt.timeMs
  try {
    const packet = parseExact(data)
    const result = schema['~standard'].validate(isObject(packet) ? packet['payload'] : undefined)
    return result instanceof Promise || result.issues !== undefined ? undefined : toCdr(receipt, result.value)
  } catch {
    return undefined
  }
}

/** Returns the attributes that follow from an id of the relay. */
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

/** Returns the attributes of a CDR's event as the relay sets them, as far as they follow from its id, source and time. */
const toUsual = (id: string, source: string, timeMs: number): Attributes => ({
  source: toEventSource(source),
  type: formatEventType('campaigns', 'cdr'),
  time: new Date(timeMs).toISOString(),
  datacontenttype: 'application/json',
  channel: formatKey({ type: 'campaigns' }),
  traceparent: readId(id)?.traceparent,
})

/** These attributes are stored separately, or follow from stored ones. */
const IN_PLACE: ReadonlySet<string> = new Set(['id', 'transport', 'sequence', 'maxwaitms'])

/**
 * The part that is stored as JSON: attributes that differ from the usual ones (null: absent), and a record or payload that does not follow
 * from the packet.
 */
type More = Readonly<Record<string, unknown>> & Partial<ReadCdr>

/** The stored form of a CDR's event. */
export type KeptEvent = {
  /** Unix ms; with a leading `+`, relative to the number in the id. */
  readonly received: string
  readonly event: string
  readonly packet: string
}

/**
 * Converts a CDR's event to its stored form (`lua/cdrs.lua`): transport, sequence, source and wait, each empty if it follows from the id;
 * the rest as JSON; and the packet's own text.
 *
 * @param digest of the payload
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
  const again = readCdrPacket({ source: event.source, reference: actual.subject, timeMs }, packet)
  const isDerived = {
    record: JSON.stringify(again?.record) === JSON.stringify(read.record),
    payload: toDigest(again?.payload) === digest,
  }
  const more: More = {
    ...Object.fromEntries(differing),
    ...(isDerived.record ? {} : { record: read.record }),
    ...(isDerived.payload ? {} : { payload: read.payload }),
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

/** A stored CDR. */
export type KeptCdr = ReadCdr & {
  /** When it was written (Unix ms), by the clock of the functions. */
  readonly keptMs: number
  /** Its event, with the packet as received. */
  readonly event: Notification
}

/** Parses an entry of a CDR's document. */
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
  const derived =
    record !== undefined && payload !== undefined
      ? undefined
      : readCdrPacket({ source: sourceId, reference: event.subject, timeMs }, data)
  const read = { record: record ?? derived?.record, payload: payload ?? derived?.payload ?? {} }
  if (read.record === undefined)
    throw new StoreError('store.upstash.unexpected_reply', 'a CDR in the read model cannot be read')
  return { record: read.record, payload: read.payload, keptMs: timeMs + Number(delay) * 1000, event }
}

/**
 * Returns a digest that is equal for payloads with the same content, however they were serialised: fields in any order at every depth,
 * numbers equal to text (`12` and `"12"`), null equal to an absent field. It consists of two 32-bit FNV-1a hashes with different seeds,
 * because only copies of one key are compared.
 */
export function toDigest(payload: unknown): string {
  const text = JSON.stringify(toCanonical(payload)) ?? ''
  return [FNV_OFFSET, 0x01000193].map((seed) => fnv1a(text, seed).toString(16).padStart(8, '0')).join('')
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

/** The offset basis of 32-bit FNV-1a. Source: http://www.isthe.com/chongo/tech/comp/fnv/ */
export const FNV_OFFSET = 0x811c9dc5

/** Returns the 32 bits of an FNV-1a hash. */
export function fnv1a(text: string, seed: number): number {
  let state = seed
  for (let at = 0; at < text.length; at++) {
    state ^= text.charCodeAt(at)
    state = Math.imul(state, 0x01000193)
  }
  return state >>> 0
}
