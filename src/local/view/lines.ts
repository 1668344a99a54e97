import { isIdentifier, isObject, maskPayload, maskText, parseExact, type Notification } from '../../protocol/index.ts'
import type { Part } from '../street/parts.ts'
import { quantile, type Figures, type Handled } from '../street/street-figures.ts'

/** Shows the street to the user. */
export type View = {
  /** Shows a running part. */
  part: (part: Part) => void
  /** Shows a line that stays: a warning, a notification, the output of a function. */
  line: (text: string) => void
  /** Shows the figures, once a second. */
  figures: (figures: Figures) => void
  /** Keeps the last output and restores the terminal. */
  close: () => void
}

/** The destination of a view. */
export type Output = { write: (text: string) => unknown }

/** Delays are computed over this many readings, because percentiles of a single second with few notifications mean nothing. */
const DELAY_READINGS = 10

/** Creates a function that turns each reading of the figures into the rates since the reading before. */
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
      /** Delay over the last seconds, ms. Undefined if there was no notification. */
      relayP50: ms('relayDelay', 0.5),
      relayP99: ms('relayDelay', 0.99),
      handledP50: ms('handledDelay', 0.5),
      handledP99: ms('handledDelay', 0.99),
    }
  }
}

export type Rates = ReturnType<ReturnType<typeof createRates>>

/** Formats the time of day: `12:00:05`. */
export const formatTime = (date: Date): string => date.toTimeString().slice(0, 8)

/** Formats a number in at most five characters: `0`, `950`, `1.2k`, `34k`, `5.6M`. */
export function formatShort(n: number): string {
  if (n < 1_000) return String(Math.round(n))
  const [divided, letter] = n < 999_500 ? [n / 1_000, 'k'] : [n / 1_000_000, 'M']
  return `${divided < 9.95 ? divided.toFixed(1) : Math.round(divided)}${letter}`
}

/** Formats milliseconds as a whole number, with one decimal below ten; `-` for undefined. */
export function formatMs(ms: number | undefined): string {
  if (ms === undefined) return '-'
  return ms < 9.95 ? ms.toFixed(1) : formatShort(ms)
}

const NAME_WIDTH = 17
const ADDRESS_WIDTH = 28

/** Formats a running part: `relay            http://127.0.0.1:8081       serves /livez`. */
export function formatPart({ name, address, note }: Part): string {
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
  return `${formatTime(new Date(time))} ${LEVELS[level] ?? level}: ${msg}${more.length === 0 ? '' : ` (${more.join(', ')})`}`
}

/** Creates a destination for the log that shows each line. */
export const createLogOutput = (show: (line: string) => void): Output => ({
  write: (json: string) => show(formatLogLine(json)),
})

/** Formats a handled notification, personal data masked: `12:00:05 agents/call 1002  {"ref":"1002","number":"27*******67"}  done after 12 ms`. */
export function formatHandled({ route, notification, outcome, delayMs }: Handled, date: Date): string {
  const type = notification.type.replace(/^enigma\./, '').replace('.', '/')
  const shown = (text: string) => (route.type === '*' ? maskText(text) : text)
  const name = shown(type)
  const to = notification.subject === undefined ? '' : ` ${shown(notification.subject)}`
  const end = `${outcome === 'done' ? 'done after' : 'retry, after'} ${formatMs(delayMs)} ms`
  const why = notification.reason === undefined ? '' : ` (${notification.reason})`
  return `${formatTime(date)} ${name}${to}${why}  ${describeData(notification, route.type !== '*')}  ${end}`
}

/** A dial_preview names thousands of callees: the beginning is enough to see what it is. */
const MAX_TEXT = 240

/** Masks any text that may contain a number, except identifiers. */
const maskUnknown = (name: string, value: unknown): unknown =>
  typeof value === 'string' && !isIdentifier(name) ? maskText(value) : value

/** Formats the payload. Personal fields of a known sub_type are masked; in an unknown one, all longer numbers. */
function describeData({ data }: Notification, isKnown: boolean): string {
  const size = typeof data === 'string' ? Buffer.byteLength(data) : data.length
  if (typeof data === 'string') {
    try {
      const packet = parseExact(data)
      const payload = isObject(packet) && 'payload' in packet ? packet.payload : packet
      const text = JSON.stringify(maskPayload(payload), maskUnknown) ?? ''
      const shown = isKnown ? text : maskText(text, payload)
      return shown.length <= MAX_TEXT ? shown : `${shown.slice(0, MAX_TEXT)}… (${size} bytes)`
    } catch {
      // It is not JSON, so only its size is shown.
    }
  }
  return `${size} bytes`
}
