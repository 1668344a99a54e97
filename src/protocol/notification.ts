/**
 * A notification: a packet plus where and when it was received, as a CloudEvent 1.0.
 * Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
 */
export type Notification = {
  /** `<source>/l/<claim>/<index>`, `<source>/p/<epoch>/<index>`, or `<source>/o/<number>/<index>` for the relay's own; the same on each copy, never used twice. */
  readonly id: string
  /** `/enigma/<source id>` */
  readonly source: string
  /** `enigma.<type>.<sub_type>`, for instance `enigma.agents.call`. */
  readonly type: string
  /** The channel's reference; absent for list items. */
  readonly subject?: string | undefined
  /** When the relay received it: ISO 8601, ms, UTC. */
  readonly time: string
  /** `application/json`, `text/plain` for text that is not JSON, `application/octet-stream` for what is not UTF-8. */
  readonly datacontenttype: string
  /** The packet's own text, exactly as received; its bytes when they are not valid UTF-8. */
  readonly data: string | Uint8Array
  readonly transport: Transport
  /** The Redis key or channel. */
  readonly channel: string
  /** Sorts as text; monotonic within one source and transport only. */
  readonly sequence: string
  /** W3C trace context. */
  readonly traceparent?: string | undefined
  /** List items: for how long (ms) at most it may have waited in Redis before `time`. */
  readonly maxwaitms?: number | undefined
  /** Why it has no route of its own (on the `other` route only). */
  readonly reason?: string | undefined
}

/** CloudEvents integers are 32 bits wide; a longer wait is as stale as the longest. */
export const MAX_WAIT_MS = 0x7fff_ffff

const SOURCE_PREFIX = '/enigma/'
const TYPE_PREFIX = 'enigma.'

/** `main` → `/enigma/main` */
export const toEventSource = (sourceId: string): string => SOURCE_PREFIX + sourceId

/** `/enigma/main` → `main`; a foreign source is returned whole. */
export const toSourceId = (source: string): string =>
  source.startsWith(SOURCE_PREFIX) ? source.slice(SOURCE_PREFIX.length) : source

/** `agents`, `call` → `enigma.agents.call` */
export const formatEventType = (type: string, subType: string): string => `${TYPE_PREFIX}${type}.${subType}`

/** `enigma.agents.call` → `{ type: 'agents', subType: 'call' }`; undefined for a foreign type. */
export function parseEventType(eventType: string): { type: string; subType: string } | undefined {
  if (!eventType.startsWith(TYPE_PREFIX)) return undefined
  const dot = eventType.indexOf('.', TYPE_PREFIX.length)
  if (dot < 0) return undefined
  return { type: eventType.slice(TYPE_PREFIX.length, dot), subType: eventType.slice(dot + 1) }
}

/** How old (ms) it may be: the time since it was received, plus the longest that it may have waited before. */
export const ageMs = ({ time, maxwaitms = 0 }: Pick<Notification, 'time' | 'maxwaitms'>, nowMs: number): number =>
  nowMs - Date.parse(time) + maxwaitms

/** The attributes of an event as some format has them. */
export type Attributes = {
  /** The text of an attribute; undefined where it is missing or empty. */
  readonly get: (name: string) => string | undefined
  /** The error about one that must be there. */
  readonly missing: (name: string) => ProtocolError
  readonly time: string | undefined
  readonly datacontenttype: string | undefined
  readonly maxwaitms: unknown
  readonly data: () => Notification['data']
}

/** Makes a notification of an event's attributes. @throws ProtocolError about one that is missing */
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
 * Ids and sequences. Both are made of a number that one script in the dialler's Redis gives out (a claim's or an epoch's) and an
 * index, so that they never change when something is sent again and never repeat.
 */

/** `relay`: the relay says something itself, such as a gap. */
export type Transport = 'list' | 'pubsub' | 'resync' | 'relay'

const LETTERS = { list: 'l', pubsub: 'p', resync: 'r', relay: 'o' } as const

export const isTransport = (text: unknown): text is Transport =>
  typeof text === 'string' && Object.hasOwn(LETTERS, text)

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0').slice(-digits)

/** What all notifications of a claim or an epoch have in common: their texts up to the index. */
function toStem(source: string, transport: Transport, number: number) {
  let hash = 0x811c9dc5
  for (let at = 0; at < source.length; at++) hash = Math.imul(hash ^ source.charCodeAt(at), 0x01000193)
  const letter = LETTERS[transport]
  const code = hex(letter.charCodeAt(0), 2)
  return {
    source,
    transport,
    number,
    id: [source, letter, number, ''].join('/'),
    trace: `00-${hex(hash >>> 0, 8)}${code}${hex(number, 14)}`,
    span: `-${code}${hex(number, 8)}`,
  }
}

// Events that come one after the other share their number as a rule: its texts are made once.
let stem = toStem('', 'list', Number.NaN)
let sequence = { number: Number.NaN, text: '' }

function stemOf(source: string, transport: Transport, number: number) {
  if (stem.source !== source || stem.transport !== transport || stem.number !== number)
    stem = toStem(source, transport, number)
  return stem
}

/** `main/l/1764000000000/17`: the source's id, the transport's letter, the number, the index. */
export const formatId = (source: string, transport: Transport, number: number, index: number): string =>
  stemOf(source, transport, number).id + String(index)

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
export const compareSequences = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/**
 * A W3C trace context that is the same for each copy of a notification: trace id from the source, number and index.
 * Source: https://www.w3.org/TR/trace-context/
 */
export function formatTraceparent(source: string, transport: Transport, number: number, index: number): string {
  const { trace, span } = stemOf(source, transport, number)
  const digits = hex(index, 8)
  return `${trace}${digits}${span}${digits.slice(2)}-01`
}

/** Says what is wrong with a message in one of the formats of this room. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
  /**
   * - `protocol.event.invalid`: the text is not a CloudEvent, or lacks an attribute.
   * - `protocol.body.not_gzip`: the message says that its body is gzipped, and it is not.
   * - `protocol.key.invalid`: a key cannot be made of this type and reference.
   * - `protocol.routes.invalid`: the text is not a route table, or one of its routes has a limit that cannot be kept.
   * - `protocol.command.invalid`: the message is no command to the relay.
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
