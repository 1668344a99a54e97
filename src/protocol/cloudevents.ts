import {
  formatId,
  formatSequence,
  formatTraceparent,
  MAX_WAIT_MS,
  ProtocolError,
  toEventSource,
  toNotification,
  type Notification,
} from './notification.ts'
import { fromBase64, hasMark, isObject, isSqsText, scanArray, scanObject, toBase64, toBytes, toText } from './text.ts'

/*
 * CloudEvents in JSON: a single event, or the batch format (a JSON array). The packet's text is inserted and extracted unchanged; it is
 * never parsed and serialised again. Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
 */

// A reference, and so an attribute, may contain any character. JSON allows escapes in every string, so characters that some SQS servers reject are escaped.
const escapeUnit = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

function quote(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`
  return JSON.stringify(text).replace(/[\x7f-\x9f\uD800-\uDFFF\uFFFE\uFFFF]/g, escapeUnit)
}

const isJson = (contentType: string) => /^[^;]*[/+]json\b/i.test(contentType)

// Extracting `data` drops surrounding white space, and a byte order mark inside an event is not valid JSON. Such text travels as base64.
const isBare = (text: string) => text.charCodeAt(0) > 0x20 && text.charCodeAt(text.length - 1) > 0x20 && !hasMark(text)

function formatData(contentType: string, data: string | Uint8Array): string {
  if (typeof data !== 'string' || !isSqsText(data)) return `"data_base64":"${toBase64(data)}"`
  if (!isJson(contentType)) return `"data":${quote(data)}`
  return isBare(data) ? `"data":${data}` : `"data_base64":"${toBase64(data)}"`
}

// CloudEvents has no empty attributes: an attribute without a value is left out.
const formatOptional = (name: string, value: string | undefined): string =>
  value === undefined || value === '' ? '' : `"${name}":${quote(value)},`

const formatWait = (ms: number | undefined): string =>
  ms === undefined ? '' : `"maxwaitms":${Math.min(Math.max(0, Math.round(ms)), MAX_WAIT_MS)},`

/** Writes a notification as a CloudEvent in JSON. If `datacontenttype` is JSON, `data` must be valid JSON text. */
export function formatEvent(n: Notification): string {
  return (
    `{"specversion":"1.0","id":${quote(n.id)},"source":${quote(n.source)},"type":${quote(n.type)},${formatOptional('subject', n.subject)}` +
    `"time":${quote(n.time)},"datacontenttype":${quote(n.datacontenttype)},"transport":"${n.transport}",${formatOptional('channel', n.channel)}` +
    `"sequence":${quote(n.sequence)},${formatOptional('traceparent', n.traceparent)}${formatWait(n.maxwaitms)}${formatOptional('reason', n.reason)}` +
    `${formatData(n.datacontenttype, n.data)}}`
  )
}

/** The attributes that all events of one channel and kind share. */
export type EventStream = Pick<Notification, 'type' | 'subject' | 'transport' | 'channel' | 'reason'> & {
  readonly sourceId: string
}

/** The position of an event in its stream, and when its packet was received. */
export type EventPlace = {
  readonly number: number
  readonly index: number
  readonly timeMs: number
  readonly maxWaitMs?: number | undefined
}

/** A packet in its event. `bytes` is the size of the event in UTF-8. */
export type StampedEvent = {
  readonly id: string
  /** The JSON of the event up to its data. If `data` is undefined, the JSON of the whole event. */
  readonly head: string
  /** The packet's own bytes, if they are the JSON text of `data`. A closing brace follows them. */
  readonly data: Uint8Array | undefined
  readonly bytes: number
}

/** Returns the whole text of an event that is stored in parts. */
export const textOf = ({ head, data }: Pick<StampedEvent, 'head' | 'data'>): string =>
  data === undefined ? head : `${head}${toText(data) ?? ''}}`

/** The last time that was formatted: many events in a row have the same time. */
let clock = { timeMs: Number.NaN, text: '' }
function formatTime(timeMs: number): string {
  if (clock.timeMs !== timeMs) clock = { timeMs, text: new Date(timeMs).toISOString() }
  return clock.text
}

/**
 * Returns a function that makes the events of a stream. It writes the same text as `formatEvent` in a fraction of the time, and does not copy
 * data that is inserted unchanged.
 */
export function createEventStream(stream: EventStream) {
  const { sourceId, type, subject, transport, channel, reason } = stream
  const source = toEventSource(sourceId)
  const beforeTime = `","source":${quote(source)},"type":${quote(type)},${formatOptional('subject', subject)}"time":"`
  const beforeSequence = `","datacontenttype":"application/json","transport":"${transport}",${formatOptional('channel', channel)}"sequence":"`
  const beforeData = `${formatOptional('reason', reason)}"data":`
  // Characters beyond ASCII take more than one byte: `wideBytes` is the difference. Encoding the parts also flattens their strings, which V8 joins faster.
  const wideBytes = [beforeTime, beforeSequence, beforeData].reduce(
    (sum, part) => sum + toBytes(part).length - part.length,
    0,
  )
  const isPlainSource = PLAIN.test(source)

  return (packet: Uint8Array, data: string | Uint8Array, datacontenttype: string, place: EventPlace): StampedEvent => {
    const { number, index, timeMs, maxWaitMs: maxwaitms } = place
    const id = formatId(sourceId, transport, number, index)
    const sequence = formatSequence(number, index)
    const traceparent = formatTraceparent(sourceId, transport, number, index)
    const time = formatTime(timeMs)
    const isBareJson = typeof data === 'string' && datacontenttype === 'application/json' && isBare(data)
    // Text with as many characters as bytes is ASCII, which every SQS server accepts.
    if (isPlainSource && isBareJson && (data.length === packet.length || isSqsText(data))) {
      // `join` makes one flat string. A template literal would keep its parts as some twenty objects until it is written.
      const head = [
        '{"specversion":"1.0","id":"',
        id,
        beforeTime,
        time,
        beforeSequence,
        sequence,
        '","traceparent":"',
        traceparent,
        '",',
        formatWait(maxwaitms),
        beforeData,
      ].join('')
      return { id, head, data: packet, bytes: head.length + wideBytes + packet.length + 1 }
    }
    const head = formatEvent({ ...stream, id, source, time, datacontenttype, data, sequence, traceparent, maxwaitms })
    return { id, head, data: undefined, bytes: toBytes(head).length }
  }
}

/** Joins texts that `formatEvent` wrote into a message body: a single event unchanged, several in the batch format. */
export const joinEvents = (events: readonly string[]): string =>
  events.length === 1 ? (events[0] as string) : `[${events.join(',')}]`

/**
 * Reads the notifications in a message body, in order. Accepts any CloudEvents 1.0 JSON, with members in any order and any white space.
 * Ignores unknown extensions.
 *
 * @throws ProtocolError `protocol.event.invalid`, which names the missing attribute.
 */
export function parseEvents(body: string): Notification[] {
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch (cause) {
    throw invalid('the body is not JSON', cause)
  }
  if (!Array.isArray(value)) return [readEvent(value, body)]
  const texts = scanArray(body)
  return value.map((element, index) => readEvent(element, texts[index] as string))
}

const invalid = (message: string, cause?: unknown) =>
  new ProtocolError('protocol.event.invalid', message, cause === undefined ? undefined : { cause })

function readEvent(event: unknown, text: string): Notification {
  if (!isObject(event)) throw invalid('an event is not a JSON object')
  const get = (name: string): string | undefined => {
    const value = event[name]
    return typeof value === 'string' && value !== '' ? value : undefined
  }
  const missing = (name: string) => invalid(`the attribute ${name} is missing or not a string`)
  const version = get('specversion')
  if (version === undefined) throw missing('specversion')
  if (version !== '1.0') throw invalid('specversion is not 1.0')
  const [time, datacontenttype] = [get('time'), get('datacontenttype')]
  return toNotification({
    get,
    missing,
    time: Number.isNaN(Date.parse(time ?? '')) ? undefined : time,
    datacontenttype,
    maxwaitms: event['maxwaitms'],
    data: () => readData(event, text, datacontenttype),
  })
}

function readData(event: Record<string, unknown>, text: string, contentType = 'application/json'): string | Uint8Array {
  const base64 = event['data_base64']
  if (typeof base64 === 'string') {
    let bytes: Uint8Array
    try {
      bytes = fromBase64(base64)
    } catch (cause) {
      throw invalid('data_base64 is not base64', cause)
    }
    return toText(bytes) ?? bytes
  }
  if (!isJson(contentType) && typeof event['data'] === 'string') return event['data']
  return scanObject(text).get('data') ?? ''
}
