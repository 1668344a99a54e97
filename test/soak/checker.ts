import { toBytes, toSourceId, type Notification } from '../../src/protocol/index.ts'
import type { Broken } from './broken.ts'
import { ARRIVED, MAYBE_LOST, MAYBE_TWICE, PARKED, TAKEN, WRITTEN, type Ledger } from './ledger.ts'
import { makePacket, readMark, STREAMS, type Made, type Stream } from './packets.ts'

/** An announced gap (unix ms): a time span in which Pub/Sub could not be heard. */
export type GapSpan = { readonly fromMs: number; readonly toMs: number }

export type CheckerOptions = {
  readonly seed: number
  readonly ledger: Ledger
  readonly broken: Broken
  /** Describes a time (unix ms). */
  readonly describe: (atMs: number) => string
  /** Called with the first arrival of each packet. */
  readonly onFirst?: (stream: Stream, n: number, atMs: number) => void
}

/** A packet that arrived after a later one of its reference. */
type Inversion = {
  readonly stream: Stream
  readonly n: number
  readonly behind: number
  readonly reference: string
  readonly atMs: number
}

/**
 * Compares the arrivals with the packets that were written, without asking the relay. Each packet must be in its queue with its exact bytes
 * and one id for all of its copies, and each reference must be in order. At the end, reports missing packets.
 */
export function createChecker({ seed, ledger, broken, describe, onFirst }: CheckerOptions) {
  const latest = new Map<string, number>()
  const inversions: Inversion[] = []
  const gaps: GapSpan[] = []
  const own = new Map<string, string>()
  const parked = new Set<string>()
  const name = (stream: Stream, n: number) => `${stream} ${n}, written at ${describe(ledger[stream].fromMs.get(n))}`

  const checkFirst = (queue: string, event: Notification, made: Made, stream: Stream, n: number, atMs: number) => {
    if (queue !== `enigma-${made.route}.fifo` || made.relay !== 'sent')
      broken.add('G5 route', `${name(stream, n)} came to ${queue}, and was to be ${made.relay} to ${made.route}`)
    if (!Buffer.from(toBytes(event.data)).equals(Buffer.from(made.packet)))
      broken.add('G5 bytes', `${name(stream, n)} came with other bytes`)
    if (event.channel !== made.key || toSourceId(event.source) !== 'main')
      broken.add('G5 channel', `${name(stream, n)} came as of ${event.channel}`)
    // A list that several relays share keeps its order only within a claim.
    const order =
      stream === 'shared'
        ? `${stream} ${queue} ${made.reference} ${ledger[stream].numberOf(n)}`
        : `${stream} ${event.type} ${made.reference}`
    const before = latest.get(order)
    if (before !== undefined && before > n)
      inversions.push({ stream, n, behind: before, reference: made.reference, atMs })
    else latest.set(order, n)
  }

  return {
    gaps,
    parked,
    /** Checks a notification that the target accepted. Call it in the order of each queue and group. */
    arrive(queue: string, event: Notification, atMs: number): void {
      if (event.transport === 'relay') {
        const text = String(event.data)
        const known = own.get(event.id)
        if (known !== undefined && known !== text)
          broken.add('G1 ids', `${event.id} stands for two notices of the relay`)
        own.set(event.id, text)
        return
      }
      const mark = readMark(event.data)
      if (mark === undefined) return broken.add('G5 bytes', `${event.id} on ${queue} is none of what was written`)
      const { stream, n } = mark
      const rows = ledger[stream]
      if (!rows.has(n, WRITTEN)) return broken.add('G5 bytes', `${stream} ${n} came, and was never written`)
      if (rows.has(n, ARRIVED)) {
        rows.state.copies++
        if (rows.idOf(n) !== event.id && !rows.has(n, MAYBE_TWICE))
          broken.add('G1 ids', `${name(stream, n)} came as ${rows.idOf(n)} and as ${event.id} at ${describe(atMs)}`)
        return
      }
      rows.arrive(n, event.id, atMs)
      checkFirst(queue, event, makePacket(seed, stream, n), stream, n, atMs)
      onFirst?.(stream, n, atMs)
    },
    /** Checks an entry of the relay's parked list. */
    park(event: Notification, reason: string): void {
      if (parked.has(event.id)) return
      parked.add(event.id)
      const mark = readMark(event.data)
      if (mark === undefined) return broken.add('G5 parked', `${event.id} is parked, and none of what was written`)
      const { stream, n } = mark
      ledger[stream].set(n, PARKED)
      const made = makePacket(seed, stream, n)
      if (made.relay !== 'parked')
        broken.add('G5 parked', `${name(stream, n)} is parked as ${reason}, and SQS takes it`)
      if (!Buffer.from(toBytes(event.data)).equals(Buffer.from(made.packet)))
        broken.add('G5 bytes', `${name(stream, n)} is parked with other bytes`)
    },

    /**
     * Reports missing packets, packets out of order, and ids that stand for two packets. Call it after the last arrival.
     *
     * @param mayBeLate returns whether a packet may be out of order, because the relay does not guarantee its order
     */
    finish(mayBeLate: (n: number, stream: Stream) => boolean): {
      inGaps: number
      lostWithRedis: number
      excused: number
    } {
      const counts = { inGaps: 0, lostWithRedis: 0, excused: 0 }
      const announced = mergeSpans(gaps)
      for (const stream of STREAMS) {
        const rows = ledger[stream]
        for (let n = 0; n < rows.state.written; n++) {
          if (rows.has(n, ARRIVED) || rows.has(n, PARKED)) continue
          if (stream !== 'pubsub') {
            if (rows.has(n, MAYBE_LOST)) counts.lostWithRedis++
            else if (rows.has(n, TAKEN)) broken.add('G1 lists', `missing: ${name(stream, n)}`)
          } else if (announced.some(({ fromMs, toMs }) => fromMs <= rows.toMs.get(n) && toMs >= rows.fromMs.get(n)))
            counts.inGaps++
          else if (rows.has(n, TAKEN)) broken.add('G2 Pub/Sub', `missing without a gap: ${name(stream, n)}`)
        }
      }
      for (const { stream, n, behind, reference, atMs } of inversions) {
        if (mayBeLate(n, stream)) counts.excused++
        else
          broken.add(
            'G3 order',
            `of reference ${reference} ${name(stream, n)} (${ledger[stream].idOf(n)}) came behind ${behind} (${ledger[stream].idOf(behind)}), at ${describe(atMs)}`,
          )
      }
      for (const [id, a, b] of findTwice(ledger)) broken.add('G1 ids', `${id} stands for ${a} and for ${b}`)
      return counts
    },
  }
}

export type Checker = ReturnType<typeof createChecker>

/** Merges overlapping spans. Returns them in order. */
function mergeSpans(spans: readonly GapSpan[]): GapSpan[] {
  const merged: GapSpan[] = []
  for (const span of spans.toSorted((a, b) => a.fromMs - b.fromMs)) {
    const last = merged.at(-1)
    if (last !== undefined && span.fromMs <= last.toMs)
      merged[merged.length - 1] = { fromMs: last.fromMs, toMs: Math.max(last.toMs, span.toMs) }
    else merged.push(span)
  }
  return merged
}

/** Finds ids with which two different packets first arrived. */
function findTwice(ledger: Ledger): [id: string, a: string, b: string][] {
  const all = STREAMS.flatMap((stream) =>
    Array.from({ length: ledger[stream].state.written }, (_, n) => ({ stream, n, rows: ledger[stream] })).filter(
      ({ rows, n }) => rows.has(n, ARRIVED),
    ),
  )
  all.sort((a, b) => a.rows.numberOf(a.n) - b.rows.numberOf(b.n) || a.rows.indexOf(a.n) - b.rows.indexOf(b.n))
  return all.flatMap((one, at): [string, string, string][] => {
    const before = all[at - 1]
    const id = one.rows.idOf(one.n)
    return before !== undefined && before.rows.idOf(before.n) === id
      ? [[id, `${before.stream} ${before.n}`, `${one.stream} ${one.n}`]]
      : []
  })
}
