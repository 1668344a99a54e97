import { CONTENT_ENCODING, readBody } from '../src/protocol/index.ts'
import type { Mark } from './load.ts'

/** One SQS message as it came. */
export type Arrival = {
  /** When its answer went out. */
  readonly atMs: number
  readonly body: string
  readonly attributes: Readonly<Record<string, { readonly StringValue?: string }>> | undefined
}

export type Report = {
  /** Requests that sent something. */
  readonly requests: number
  readonly messages: number
  readonly notifications: number
  /** Of all bodies. */
  readonly bytes: number
  readonly missing: number
  readonly copies: number
  /** Notifications that came after a later one of their reference. */
  readonly disorder: number
  /** When the first and the last message arrived, ms as `nowMs` says it; 0 when none did. */
  readonly firstMs: number
  readonly lastMs: number
  /** From publishing to arrival; 0 when packets carry no time. */
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Reads all that came. @param expected how many different notifications were published */
export async function toReport(arrivals: readonly Arrival[], requests: number, expected: number): Promise<Report> {
  const seen = new Map<string, Set<number>>()
  const highest = new Map<string, number>()
  const delays: number[] = []
  let notifications = 0
  let copies = 0
  let disorder = 0
  let bytes = 0
  for (const { atMs, body, attributes } of arrivals) {
    bytes += Buffer.byteLength(body)
    for (const { ref, n, t } of await readMarks(body, attributes?.[CONTENT_ENCODING]?.StringValue)) {
      notifications++
      if (t !== undefined) delays.push(atMs - t)
      const numbers = seen.get(ref) ?? new Set()
      const last = highest.get(ref) ?? -1
      if (numbers.has(n)) copies++
      else if (n < last) disorder++
      seen.set(ref, numbers.add(n))
      highest.set(ref, Math.max(n, last))
    }
  }
  delays.sort((a, b) => a - b)
  const percentile = (part: number) => delays[Math.ceil(delays.length * part) - 1] ?? 0
  return {
    requests,
    messages: arrivals.length,
    notifications,
    bytes,
    missing: expected - (notifications - copies),
    copies,
    disorder,
    firstMs: arrivals[0]?.atMs ?? 0,
    lastMs: arrivals.at(-1)?.atMs ?? 0,
    p50Ms: percentile(0.5),
    p99Ms: percentile(0.99),
  }
}

/** CloudEvents from the relay, a bare packet from the baseline. */
async function readMarks(body: string, contentEncoding: string | undefined): Promise<Mark[]> {
  if (body.startsWith('{"type"')) return [toMark(body)]
  return (await readBody(body, contentEncoding)).map(({ data }) => toMark(String(data)))
}

const toMark = (packet: string): Mark => (JSON.parse(packet) as { payload: Mark }).payload
