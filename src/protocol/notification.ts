import { hashText } from './text.ts'

/**
 * A notification: a packet plus where and when it was received, as a CloudEvent 1.0.
 * Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
 */
export type Notification = {
  /**
   * `<source>/l/<claim>/<index>`, `<source>/p/<epoch>/<index>`, `<source>/r/<number>/<index>` for a state read after a gap, or
   * `<source>/o/<number>/<index>` for the relay's notices. All copies have the same id; an id is never reused.
   */
  readonly id: string
  /** `/enigma/<source id>` */
  readonly source: string
  /** `enigma.<type>.<sub_type>`, for instance `enigma.agents.call`. */
  readonly type: string
  /** The reference in the channel. Absent for list items. */
  readonly subject?: string | undefined
  /** When the relay received the packet: ISO 8601, ms, UTC. For a state read after a gap: when Pub/Sub was heard again. */
  readonly time: string
  /** `application/json`, `text/plain` for text that is not JSON, or `application/octet-stream` for bytes that are not UTF-8. */
  readonly datacontenttype: string
  /** The text of the packet, exactly as received, or its bytes if they are not valid UTF-8. */
  readonly data: string | Uint8Array
  readonly transport: Transport
  /** The Redis key or channel. */
  readonly channel: string
  /** Text that sorts in ascending order within one source and transport. Do not compare it across sources or transports. */
  readonly sequence: string
  /** W3C trace context. */
  readonly traceparent?: string | undefined
  /** List items only: the longest time (ms) that the item may have waited in Redis before `time`. */
  readonly maxwaitms?: number | undefined
  /** Why the notification has no route of its own. Only on the `other` route. */
  readonly reason?: string | undefined
}

/** The largest `maxwaitms`: CloudEvents integers have 32 bits. After such a wait, a notification is stale anyway. */
export const MAX_WAIT_MS = 0x7fff_ffff

const SOURCE_PREFIX = '/enigma/'
const TYPE_PREFIX = 'enigma.'

/** Converts a source id to a CloudEvents source: `main` → `/enigma/main`. */
export const toEventSource = (sourceId: string): string => SOURCE_PREFIX + sourceId

/** Converts a CloudEvents source to a source id: `/enigma/main` → `main`. Returns the source of a foreign event unchanged. */
export const toSourceId = (source: string): string =>
  source.startsWith(SOURCE_PREFIX) ? source.slice(SOURCE_PREFIX.length) : source

/** Writes a CloudEvents type: `agents`, `call` → `enigma.agents.call`. */
export const formatEventType = (type: string, subType: string): string => `${TYPE_PREFIX}${type}.${subType}`

/** Reads a CloudEvents type: `enigma.agents.call` → `{ type: 'agents', subType: 'call' }`. Returns undefined for the type of a foreign event. */
export function parseEventType(eventType: string): { type: string; subType: string } | undefined {
  if (!eventType.startsWith(TYPE_PREFIX)) return undefined
  const dot = eventType.indexOf('.', TYPE_PREFIX.length)
  if (dot < 0) return undefined
  return { type: eventType.slice(TYPE_PREFIX.length, dot), subType: eventType.slice(dot + 1) }
}

/** Returns the greatest possible age (ms) of a notification: the time since the relay received it, plus the longest possible wait before that. */
export const ageMs = ({ time, maxwaitms = 0 }: Pick<Notification, 'time' | 'maxwaitms'>, nowMs: number): number =>
  nowMs - Date.parse(time) + maxwaitms

/** Reads the attributes of an event in one of its formats. */
export type Attributes = {
  /** Returns the text of an attribute, or undefined if it is missing or empty. */
  readonly get: (name: string) => string | undefined
  /** Makes the error for a missing attribute. */
  readonly missing: (name: string) => ProtocolError
  readonly time: string | undefined
  readonly datacontenttype: string | undefined
  readonly maxwaitms: unknown
  readonly data: () => Notification['data']
}

/** Makes a notification from the attributes of an event. @throws ProtocolError for a missing attribute */
export function toNotification({ get, missing, time, datacontenttype, maxwaitms, data }: Attributes): Notification {
  const required = (name: string): string => {
    const value = get(name)
    if (value === undefined) throw missing(name)
    return value
  }
  const optional = (name: string) => {
    const value = get(name)
    return value === undefined ? {} : { [name]: value }
  }
  const transport = get('transport')
  return {
    id: required('id'),
    source: required('source'),
    type: required('type'),
    time: time ?? new Date(0).toISOString(),
    datacontenttype: datacontenttype ?? 'application/json',
    data: data(),
    transport: isTransport(transport) ? transport : 'list',
    channel: get('channel') ?? '',
    sequence: get('sequence') ?? '',
    ...optional('subject'),
    ...optional('traceparent'),
    ...optional('reason'),
    ...(maxwaitms !== undefined && Number.isFinite(Number(maxwaitms)) ? { maxwaitms: Number(maxwaitms) } : {}),
  }
}

/*
 * Ids and sequences. Both consist of an index and a number (of a claim or an epoch), which one script in the dialler's Redis issues. They
 * therefore stay the same when a notification is sent again, and never repeat.
 */

/** How a notification reached the relay. `relay`: the relay made it itself, for example to report a gap. */
export type Transport = 'list' | 'pubsub' | 'resync' | 'relay'

const LETTERS = { list: 'l', pubsub: 'p', resync: 'r', relay: 'o' } as const

export const isTransport = (text: unknown): text is Transport =>
  typeof text === 'string' && Object.hasOwn(LETTERS, text)

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0').slice(-digits)

/** Makes the texts that all notifications of a claim or an epoch share, up to the index. */
function toStem(source: string, transport: Transport, number: number) {
  const letter = LETTERS[transport]
  const code = hex(letter.charCodeAt(0), 2)
  return {
    source,
    transport,
    number,
    id: [source, letter, number, ''].join('/'),
    trace: `00-${hex(hashText(source), 8)}${code}${hex(number, 14)}`,
    span: `-${code}${hex(number, 8)}`,
  }
}

// Consecutive events usually share their number, so the texts of the last number are kept.
let stem = toStem('', 'list', Number.NaN)
let sequence = { number: Number.NaN, text: '' }

function stemOf(source: string, transport: Transport, number: number) {
  if (stem.source !== source || stem.transport !== transport || stem.number !== number)
    stem = toStem(source, transport, number)
  return stem
}

/** Writes an id: `main/l/1764000000000/17` is source id, letter of the transport, number, index. */
export const formatId = (source: string, transport: Transport, number: number, index: number): string =>
  stemOf(source, transport, number).id + String(index)

/** The parts of an id that a relay made. */
export type IdParts = {
  readonly source: string
  readonly transport: Transport
  readonly number: number
  readonly index: number
}

/** Reads the parts of an id such as `main/l/1764000000000/17`. Returns undefined for an id that no relay made. */
export function parseId(id: string): IdParts | undefined {
  const [, source = '', letter, number, index] = /^(.*)\/([a-z])\/(\d+)\/(\d+)$/s.exec(id) ?? []
  const [transport] = (Object.keys(LETTERS) as Transport[]).filter((one) => LETTERS[one] === letter)
  return transport === undefined ? undefined : { source, transport, number: Number(number), index: Number(index) }
}

/** Writes a sequence, which sorts as text within one source and transport: `0001764000000000.0000000017`. */
export function formatSequence(number: number, index: number): string {
  if (sequence.number !== number) sequence = { number, text: `${String(number).padStart(16, '0')}.` }
  return sequence.text + String(index).padStart(10, '0')
}

/** Compares two sequences of the same source and transport. Returns a negative number if `a` is earlier. */
export const compareSequences = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/**
 * Writes a W3C trace context. All copies of a notification have the same one: the trace id consists of source, number and index.
 * Source: https://www.w3.org/TR/trace-context/
 */
export function formatTraceparent(source: string, transport: Transport, number: number, index: number): string {
  const { trace, span } = stemOf(source, transport, number)
  const digits = hex(index, 8)
  return `${trace}${digits}${span}${digits.slice(2)}-01`
}

/** A fault in one of the formats of this room. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
  /**
   * - `protocol.event.invalid`: the text is not a CloudEvent, or lacks an attribute.
   * - `protocol.body.not_gzip`: the body of the message is declared as gzip, but is not.
   * - `protocol.key.invalid`: no key can be written for this type and reference.
   * - `protocol.routes.invalid`: the text is not a route table, or a route has an invalid limit.
   * - `protocol.command.invalid`: the message is not a command to the relay.
   */
  readonly code:
    | 'protocol.event.invalid'
    | 'protocol.body.not_gzip'
    | 'protocol.key.invalid'
    | 'protocol.routes.invalid'
    | 'protocol.command.invalid'

  constructor(code: ProtocolError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
