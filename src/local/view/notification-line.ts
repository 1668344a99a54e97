import { isIdentifier, isObject, maskPayload, maskText, parseExact, type Notification } from '../../protocol/index.ts'
import type { Handled } from '../street/watch.ts'
import { shortMs, timeOfDay } from './words.ts'

/** `12:00:05 agents/call 1002  {"ref":"1002","number":"27*******67"}  done after 12 ms`: personal data masked. */
export function formatHandled({ route, notification, outcome, delayMs }: Handled, date: Date): string {
  const type = notification.type.replace(/^enigma\./, '').replace('.', '/')
  const name = route.type === '*' ? maskText(type) : type
  const to =
    notification.subject === undefined
      ? ''
      : ` ${route.type === '*' ? maskText(notification.subject) : notification.subject}`
  const end = `${outcome === 'done' ? 'done after' : 'comes again, after'} ${shortMs(delayMs)} ms`
  const why = notification.reason === undefined ? '' : ` (${notification.reason})`
  return `${timeOfDay(date)} ${name}${to}${why}  ${describeData(notification, route.type !== '*')}  ${end}`
}

/** A dial_preview names thousands of callees: the beginning is enough to see what it is. */
const MOST_TEXT = 240

/** Any text may hold a number, but one that names something. */
const maskUnknown = (name: string, value: unknown): unknown =>
  typeof value === 'string' && !isIdentifier(name) ? maskText(value) : value

/** Of a known sub_type the payload, its personal fields masked. Of others nobody knows which are: all longer numbers are masked. */
function describeData({ data }: Notification, isKnown: boolean): string {
  const size = typeof data === 'string' ? Buffer.byteLength(data) : data.length
  if (typeof data === 'string') {
    try {
      const packet = parseExact(data)
      const payload = isObject(packet) && 'payload' in packet ? packet.payload : packet
      const text = JSON.stringify(maskPayload(payload), maskUnknown) ?? ''
      const shown = isKnown ? text : maskText(text, payload)
      return shown.length <= MOST_TEXT ? shown : `${shown.slice(0, MOST_TEXT)}… (${size} bytes)`
    } catch {
      // Not JSON: its size is all that can be shown.
    }
  }
  return `${size} bytes`
}
