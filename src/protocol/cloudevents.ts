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

/**
 * CloudEvents in JSON: one event, or the batch format (a JSON array). The packet's text is put in and taken out as it is; it is
 * never parsed and written again. Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
 */

// Attributes may hold any character of a reference; what some SQS servers refuse is escaped, which JSON allows in any string.
const escapeUnit = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

function quote(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`
  return JSON.stringify(text).replace(/[\x7f-\x9f\uD800-\uDFFF\uFFFE\uFFFF]/g, escapeUnit)
}

const isJson = (contentType: string) => /^[^;]*[/+]json\b/i.test(contentType)

// JSON text with space around it would come out without that space, and a byte order mark is no JSON inside of an event.
const isBare = (text: string) => text.charCodeAt(0) > 0x20 && text.charCodeAt(text.length - 1) > 0x20 && !hasMark(text)

function formatData(contentType: string, data: string | Uint8Array): string {
  if (typeof data !== 'string' || !isSqsText(data)) return `"data_base64":"${toBase64(data)}"`
  if (!isJson(contentType)) return `"data":${quote(data)}`
  return isBare(data) ? `"data":${data}` : `"data_base64":"${toBase64(data)}"`
}

// CloudEvents knows no empty attribute: one that says nothing is absent.
const optional = (name: string, value: string | undefined): string =>
  value === undefined || value === '' ? '' : `"${name}":${quote(value)},`

const wait = (ms: number | undefined): string =>
  ms === undefined ? '' : `"maxwaitms":${Math.min(Math.max(0, Math.round(ms)), MAX_WAIT_MS)},`

/** One notification as a CloudEvent in JSON. With `datacontenttype` JSON, `data` must be valid JSON text. */
export function formatEvent(n: Notification): string {
  return (
    `{"specversion":"1.0","id":${quote(n.id)},"source":${quote(n.source)},"type":${quote(n.type)},${optional('subject', n.subject)}` +
    `"time":${quote(n.time)},"datacontenttype":${quote(n.datacontenttype)},"transport":"${n.transport}",${optional('channel', n.channel)}` +
    `"sequence":${quote(n.sequence)},${optional('traceparent', n.traceparent)}${wait(n.maxwaitms)}${optional('reason', n.reason)}` +
    `${formatData(n.datacontenttype, n.data)}}`
  )
}

/** What the events of one channel and kind have in common. */
export type EventStream = Pick<Notification, 'type' | 'subject' | 'transport' | 'channel' | 'reason'> & {
  readonly sourceId: string
}

/** Where an event stands in its stream. */
export type EventPlace = {
  readonly number: number
  readonly index: number
  readonly timeMs: number
  readonly maxWaitMs?: number | undefined
}

/** A packet in its event. `bytes`: of the event, in UTF-8. */
export type StampedEvent = {
  readonly id: string
  /** The event's JSON up to its data; the whole event when `data` is undefined. */
  readonly head: string
  /** The packet's own bytes, where they are the JSON text of `data`. Behind them comes a closing brace. */
  readonly data: Uint8Array | undefined
  readonly bytes: number
}

/** The text of an event in parts. */
export const textOf = ({ head, data }: Pick<StampedEvent, 'head' | 'data'>): string =>
  data === undefined ? head : `${head}${toText(data) ?? ''}}`

/** The time as text, and the last one: many events have the same. */
let clock = { timeMs: Number.NaN, text: '' }
function formatTime(timeMs: number): string {
  if (clock.timeMs !== timeMs) clock = { timeMs, text: new Date(timeMs).toISOString() }
  return clock.text
}

/**
 * Makes the events of a stream: the same text as `formatEvent` makes, for a fraction of its time. Data that goes in verbatim is not copied.
 */
export function createEventStream(stream: EventStream) {
  const { sourceId, type, subject, transport, channel, reason } = stream
  const source = toEventSource(sourceId)
  const beforeTime = `","source":${quote(source)},"type":${quote(type)},${optional('subject', subject)}"time":"`
  const beforeSequence = `","datacontenttype":"application/json","transport":"${transport}",${optional('channel', channel)}"sequence":"`
  const beforeData = `${optional('reason', reason)}"data":`
  // What these have beyond ASCII has more bytes than characters. To count them also makes each a flat text, which is quicker to join.
  const wide = [beforeTime, beforeSequence, beforeData].reduce(
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
    // JSON text that has as many characters as bytes is ASCII, and so text that every server takes.
    if (isPlainSource && isBareJson && (data.length === packet.length || isSqsText(data))) {
      // One piece of text. A template literal would keep its parts as some twenty objects until it is written.
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
        wait(maxwaitms),
        beforeData,
      ].join('')
      return { id, head, data: packet, bytes: head.length + wide + packet.length + 1 }
    }
    const head = formatEvent({ ...stream, id, source, time, datacontenttype, data, sequence, traceparent, maxwaitms })
    return { id, head, data: undefined, bytes: toBytes(head).length }
  }
}

/** A message body: the event itself when there is one, else the batch format. Takes what `formatEvent` made. */
export const joinEvents = (events: readonly string[]): string =>
  events.length === 1 ? (events[0] as string) : `[${events.join(',')}]`

/**
 * The notifications in a message body, in order. Accepts any CloudEvents 1.0 JSON, in any order and spacing of members; unknown
 * extensions are ignored.
 *
 * @throws ProtocolError `protocol.event.invalid` that says what is missing.
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
    data: () => takeData(event, text, datacontenttype),
  })
}

function takeData(event: Record<string, unknown>, text: string, contentType = 'application/json'): string | Uint8Array {
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
