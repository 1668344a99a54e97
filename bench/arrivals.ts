import { CONTENT_ENCODING, readBody } from '../src/protocol/index.ts'
import type { Mark } from './load.ts'

/** An SQS message, or a request to the HTTP target, as the stand-in received it. */
export type Arrival = {
  /** When the stand-in sent its response (ms of `nowMs`). */
  readonly atMs: number
  readonly body: string
  readonly attributes: Readonly<Record<string, { readonly StringValue?: string }>> | undefined
}

export type Report = {
  /** Requests that sent notifications. */
  readonly requests: number
  readonly messages: number
  readonly notifications: number
  /** The total size of all bodies. */
  readonly bytes: number
  readonly missing: number
  readonly copies: number
  /** Notifications that arrived after a later one of the same reference. */
  readonly disorder: number
  /** When the first and the last message arrived (ms of `nowMs`). 0 if none did. */
  readonly firstMs: number
  readonly lastMs: number
  /** The time from publication to arrival. 0 if packets carry no time. */
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Summarises all arrivals. @param expected the number of different notifications that were sent to the subject */
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

/** Reads the marks of a message: CloudEvents from the relay, a bare packet from any other subject. */
async function readMarks(body: string, contentEncoding: string | undefined): Promise<Mark[]> {
  if (body.startsWith('{"type"')) return [toMark(body)]
  return (await readBody(body, contentEncoding)).map(({ data }) => toMark(String(data)))
}

const toMark = (packet: string): Mark => (JSON.parse(packet) as { payload: Mark }).payload
