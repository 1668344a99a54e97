import { isIdentifier, isObject, maskPayload, maskText, parseExact, type Notification } from '../../protocol/index.ts'
import type { Part } from '../street/parts.ts'
import { quantile, type Figures, type Handled } from '../street/street-figures.ts'

/** What the user sees of the street. */
export type View = {
  /** A part runs. */
  part: (part: Part) => void
  /** A line that stays: a warning, a notification, what a function prints. */
  line: (text: string) => void
  /** A second has gone by. */
  figures: (figures: Figures) => void
  /** Leaves what was shown last, and the terminal as it was. */
  close: () => void
}

/** Where a view writes. */
export type Output = { write: (text: string) => unknown }

/** Delays are told over this many readings: of a single second with three notifications no percentile says anything. */
const DELAY_READINGS = 10

/** Makes what a view shows of the second that has gone by out of one reading after another. */
export function createRates() {
  const readings: Figures[] = []
  return (figures: Figures) => {
    const last = new Map(readings.at(-1)?.routes.map((route) => [route.name, route]))
    const from = readings.length === DELAY_READINGS ? readings.shift() : undefined
    readings.push(figures)
    const ms = (buckets: 'relayDelay' | 'handledDelay', q: number) => {
      const seconds = quantile(from?.[buckets] ?? [], figures[buckets], q)
      return seconds === undefined ? undefined : seconds * 1_000
    }
    return {
      routes: figures.routes.map(({ name, received, handled }) => ({
        name,
        received: received - (last.get(name)?.received ?? 0),
        handled: handled - (last.get(name)?.handled ?? 0),
      })),
      /** ms over the last seconds; undefined when nothing went through. */
      relayP50: ms('relayDelay', 0.5),
      relayP99: ms('relayDelay', 0.99),
      handledP50: ms('handledDelay', 0.5),
      handledP99: ms('handledDelay', 0.99),
    }
  }
}

export type Rates = ReturnType<ReturnType<typeof createRates>>

/** What a view shows, as text. */

/** A clock's time of day: `12:00:05`. */
export const timeOfDay = (date: Date): string => date.toTimeString().slice(0, 8)

/** At most five characters: `0`, `950`, `1.2k`, `34k`, `5.6M`. */
export function short(n: number): string {
  if (n < 1_000) return String(Math.round(n))
  const [divided, letter] = n < 999_500 ? [n / 1_000, 'k'] : [n / 1_000_000, 'M']
  return `${divided < 9.95 ? divided.toFixed(1) : Math.round(divided)}${letter}`
}

/** Milliseconds as a whole number, with one decimal below ten; `-` when there is none. */
export function shortMs(ms: number | undefined): string {
  if (ms === undefined) return '-'
  return ms < 9.95 ? ms.toFixed(1) : short(ms)
}

const NAME_WIDTH = 17
const ADDRESS_WIDTH = 28

/** `relay            http://127.0.0.1:8081       serves /livez` */
export function partLine({ name, address, note }: Part): string {
  if (note === undefined) return `${name.padEnd(NAME_WIDTH)}${address}`
  return `${name.padEnd(NAME_WIDTH)}${address.padEnd(ADDRESS_WIDTH - 2)}  ${note}`
}

const LEVELS: Record<number, string> = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'warning', 50: 'error', 60: 'fatal' }

/** Formats a JSON log line for a human: `12:00:05 warning: the sentence (relay.pubsub.gap, source main)`. */
export function formatLogLine(json: string): string {
  const { level, time, msg, code, ...fields } = JSON.parse(json) as {
    level: number
    time: string
    msg: string
    code?: string
    [field: string]: unknown
  }
  const named = Object.entries(fields).map(
    ([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  const more = code === undefined ? named : [code, ...named]
  return `${timeOfDay(new Date(time))} ${LEVELS[level] ?? level}: ${msg}${more.length === 0 ? '' : ` (${more.join(', ')})`}`
}

/** A destination for the log that shows each line. */
export const toLines = (show: (line: string) => void): Output => ({
  write: (json: string) => show(formatLogLine(json)),
})

/** `12:00:05 agents/call 1002  {"ref":"1002","number":"27*******67"}  done after 12 ms`: personal data masked. */
export function formatHandled({ route, notification, outcome, delayMs }: Handled, date: Date): string {
  const type = notification.type.replace(/^enigma\./, '').replace('.', '/')
  const shown = (text: string) => (route.type === '*' ? maskText(text) : text)
  const name = shown(type)
  const to = notification.subject === undefined ? '' : ` ${shown(notification.subject)}`
  const end = `${outcome === 'done' ? 'done after' : 'retry, after'} ${shortMs(delayMs)} ms`
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
