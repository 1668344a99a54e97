import { parseEventType, ProtocolError, toNotification, type Notification } from './notification.ts'
import { toText } from './text.ts'

/**
 * The CloudEvents HTTP binding, binary mode: attributes in `ce-*` headers, the packet itself as the body.
 * Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
 */

const ATTRIBUTES = [
  'id',
  'source',
  'type',
  'subject',
  'time',
  'transport',
  'channel',
  'sequence',
  'traceparent',
  'maxwaitms',
  'reason',
] as const

/** The headers that name the replay which sent a notification again, and the parked entry or the CDR that it sent. */
export const REPLAY_HEADER = 'ce-replay'
export const PARKED_HEADER = 'ce-parked'

/** The media types of a batch of events, and of a single one. Source: section 3.1 of the binding, and the JSON format. */
export const BATCH_TYPE = 'application/cloudevents-batch+json'
export const EVENT_TYPE = 'application/cloudevents+json'

/** The media type of the answer to a batch: `{"outcomes":[…]}`, one for each event, in the order of the request. */
export const OUTCOMES_TYPE = 'application/vnd.enigma-relay.outcomes+json'

/** What became of an event: `done` and `parked` are settled; `retry` is to be sent again, with the attempt one higher. */
export type HttpOutcome = {
  /** Of the event. */
  readonly id: string
  readonly outcome: 'done' | 'parked' | 'retry'
  /** Seconds until it may be tried again; with `retry` only. */
  readonly after?: number
}

// Section 3.1.3.2: space, double quote, percent and everything outside printable ASCII is percent-encoded as UTF-8.
const encodeHeader = (text: string): string =>
  text.toWellFormed().replace(/[^\x21\x23\x24\x26-\x7e]/gu, encodeURIComponent)

function decodeHeader(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

const segment = (text: string) => {
  // A URL takes these two segments out of a path, also when they are percent-encoded; `%252E` survives and is decoded twice below.
  if (text === '.' || text === '..') return text.replaceAll('.', '%252E')
  return encodeURIComponent(text.toWellFormed())
}

/** `/agents/call/1002`; without a reference `/campaigns/cdr`. Segments are percent-encoded. */
export function toPath(n: Pick<Notification, 'type' | 'subject'>): string {
  const parsed = parseEventType(n.type) ?? { type: 'unknown', subType: n.type }
  const base = `/${segment(parsed.type)}/${segment(parsed.subType)}`
  return n.subject === undefined || n.subject === '' ? base : `${base}/${segment(n.subject)}`
}

/** The `ce-*` headers and the content type. */
export function toHeaders(n: Notification): Headers {
  const headers = new Headers({ 'content-type': n.datacontenttype, 'ce-specversion': '1.0' })
  for (const name of ATTRIBUTES) {
    const value = n[name]
    if (value !== undefined && value !== '') headers.set(`ce-${name}`, encodeHeader(String(value)))
  }
  return headers
}

/** The request for a handler: `POST /<type>/<sub_type>[/<reference>]`. Host and scheme mean nothing. */
export function toRequest(n: Notification, signal?: AbortSignal): Request {
  return new Request(`http://enigma${toPath(n)}`, {
    method: 'POST',
    headers: toHeaders(n),
    body: n.data as string | Uint8Array<ArrayBuffer>,
    ...(signal === undefined ? {} : { signal }),
  })
}

/**
 * The inverse of `toRequest`: headers and the body's bytes into a notification.
 *
 * @throws ProtocolError `protocol.event.invalid` naming the header that is missing.
 */
export function fromHttp(headers: Headers, body: Uint8Array): Notification {
  const get = (name: string) => {
    const value = headers.get(`ce-${name}`)
    // A header that is there and empty says as little as none.
    return value === null || value === '' ? undefined : decodeHeader(value)
  }
  return toNotification({
    get,
    missing: (name) => new ProtocolError('protocol.event.invalid', `the header ce-${name} is missing`),
    time: get('time'),
    datacontenttype: headers.get('content-type') || undefined,
    maxwaitms: get('maxwaitms'),
    data: () => toText(body) ?? body,
  })
}
