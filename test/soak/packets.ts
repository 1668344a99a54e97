import { createRandom, mix } from '../../src/simulator/random.ts'
import { formatPacket } from '../../src/protocol/index.ts'

/**
 * The streams that the soak's dialler writes. The `n`th packet of a stream is the same each time, so the ledger need not keep it. `main` is a
 * list that one relay takes. `shared` is a list that two relays may share.
 */
export const STREAMS = ['main', 'shared', 'pubsub'] as const
export type Stream = (typeof STREAMS)[number]

/** The routes of all packets that the dialler writes. */
export const SOAK_ROUTES = ['campaigns-cdr', 'campaigns-status', 'agents-status', 'agents-call', 'other'] as const

export const LIST_OF = { main: 'enigma:notifications:campaigns', shared: 'enigma:notifications:cdr' } as const

/** A packet, its route, and the expected outcomes in the relay and in the function. */
export type Made = {
  readonly key: string
  readonly packet: string | Buffer
  /** A packet that the relay parks does not reach its route. */
  readonly route: (typeof SOAK_ROUTES)[number]
  /** The order key. */
  readonly reference: string
  /** `parked`: SQS and the HTTP server always reject it. */
  readonly relay: 'sent' | 'parked'
  /** `parked`: the function rejects the payload. */
  readonly handler: 'done' | 'parked'
}

/** SQS rejects messages that contain this, and the HTTP server rejects such requests. */
export const POISON = 'soak-poison'

/** Returns the mark that each packet contains, even a malformed one: `soak-main-17-`. */
const markOf = (stream: Stream, n: number): string => `soak-${stream}-${n}-`
const MARK = /soak-(main|shared|pubsub)-(\d+)-/

/** Returns the stream and number of a packet. Undefined if the soak did not write it. */
export function readMark(data: string | Uint8Array): { readonly stream: Stream; readonly n: number } | undefined {
  const match = MARK.exec(typeof data === 'string' ? data : Buffer.from(data.subarray(0, 200)).toString('latin1'))
  return match === null ? undefined : { stream: match[1] as Stream, n: Number(match[2]) }
}

/** The prefix of all subscribers' numbers. It must not appear in any log. */
export const NUMBER_PREFIX = '2782123'

const numberOf = (n: number) => NUMBER_PREFIX + String(n % 10_000).padStart(4, '0')
const broken = (mark: string, which: number): Buffer =>
  [
    Buffer.from(`{"type":"status","payload":{"mark":"${mark}"`),
    Buffer.from(`{"payload":{"mark":"${mark}"}}`),
    Buffer.from(`{"type":17,"payload":{"mark":"${mark}"}}`),
    Buffer.from(`["${mark}"]`),
    Buffer.from(`"${mark}"`),
    Buffer.concat([Buffer.from(mark), Buffer.from([0xff, 0xfe, 0x00, 0x80, 0x0d])]),
    Buffer.from(` {"mark":"${mark}","emoji":"💃"} \n`),
  ][which % 7] as Buffer

function noise(seed: number, length: number): string {
  const random = createRandom(seed)
  return Array.from(
    { length },
    () => 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/'[Math.floor(random.next() * 64)],
  ).join('')
}

export function makePacket(seed: number, stream: Stream, n: number): Made {
  const hash = mix(mix(n + 1) ^ mix(seed * 4 + STREAMS.indexOf(stream)))
  return stream === 'pubsub' ? makePubsub(hash, n) : makeCdr(hash, stream, n)
}

/** Unix time (s). Even two million CDRs later, the time is within the days for which the read model keeps counts. */
const FIRST_DIALED_AT = Math.floor(Date.now() / 1_000) - 60 * 60 * 60
/** The number of successive CDRs that share a `dialed_at`. Each is of a different call: only both fields together identify a CDR. */
const DIALED_AT_ONCE = 12

function makeCdr(hash: number, stream: 'main' | 'shared', n: number): Made {
  const dice = hash % 10_000
  const key = LIST_OF[stream]
  const mark = markOf(stream, n)
  if (dice >= 30 && dice < 80)
    return { key, packet: broken(mark, hash >>> 16), route: 'other', reference: '', relay: 'sent', handler: 'done' }
  const call_ref = (stream === 'main' ? 0 : 1_000) + (n % DIALED_AT_ONCE) + DIALED_AT_ONCE * ((hash >>> 16) % 16)
  const isInvalid = dice >= 80 && dice < 110
  const payload = {
    call_ref,
    mark,
    number: numberOf(n),
    campaign_ref: stream,
    end_reason: 'hungup',
    dialed_at: FIRST_DIALED_AT + Math.floor(n / DIALED_AT_ONCE),
    ...(dice < 2 ? { filler: noise(hash, 150_000) } : {}),
    ...(dice >= 2 && dice < 6 ? { filler: 'a call and '.repeat(10_000) } : {}),
    ...(dice >= 6 && dice < 10 ? { poison: POISON } : {}),
    ...(dice >= 110 && dice < 200 ? { contact_ref: 'ü 💃 \uffff' } : {}),
  }
  const isParked = dice < 2 || (dice >= 6 && dice < 10)
  return {
    key,
    // The function rejects a CDR that is wrapped in an array.
    packet: formatPacket({ type: 'cdr', payload: isInvalid ? [payload] : payload }),
    route: 'campaigns-cdr',
    reference: isInvalid ? '' : String(call_ref),
    relay: isParked ? 'parked' : 'sent',
    handler: isInvalid ? 'parked' : 'done',
  }
}

function makePubsub(hash: number, n: number): Made {
  const dice = hash % 10_000
  const mark = markOf('pubsub', n)
  const reference = String(1_000 + ((hash >>> 16) % 300))
  const agent = { key: `enigma:notifications:agents:${reference}`, reference, relay: 'sent', handler: 'done' } as const
  if (dice < 100) return { ...agent, packet: broken(mark, hash >>> 16), route: 'other' }
  if (dice < 150) return { ...agent, packet: formatPacket({ type: 'dance', payload: { mark } }), route: 'other' }
  if (dice < 160)
    return {
      ...agent,
      packet: formatPacket({ type: 'status', payload: { status: 'busy', mark, poison: POISON } }),
      route: 'agents-status',
      relay: 'parked',
    }
  if (dice < 200)
    return {
      ...agent,
      packet: formatPacket({ type: 'status', payload: { mark } }),
      route: 'agents-status',
      handler: 'parked',
    }
  if (dice < 500) {
    return {
      ...agent,
      key: `enigma:notifications:campaigns:${reference}`,
      packet: formatPacket({ type: 'status', payload: { status: 'running', mark } }),
      route: 'campaigns-status',
    }
  }
  if (dice < 3_000) {
    return {
      ...agent,
      packet: formatPacket({ type: 'call', payload: { call_ref: 5_000_000 + n, number: numberOf(n), mark } }),
      route: 'agents-call',
    }
  }
  return {
    ...agent,
    packet: formatPacket({ type: 'status', payload: { status: mark, campaign_ref: '7' } }),
    route: 'agents-status',
  }
}
