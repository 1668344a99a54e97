import { formatId, formatSequence, parseExact, type Cdr } from '../src/protocol/index.ts'
import type { StoreEvent } from '../src/store/index.ts'

/** Returns the time (ms) of a monotonic clock that all processes of the machine share, so that their times can be compared. */
export const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6

/** The fields of a payload by which the stand-in finds missing, repeated and reordered packets. */
export type Mark = {
  readonly ref: string
  /** Counts from 0 within the reference. */
  readonly n: number
  /** The time of publication (ms of `nowMs`). */
  readonly t?: number
}

const AGENTS = 200

/** The sub_type of Pub/Sub packets. The relay sends `call` without lingering or pacing. */
export type Published = 'status' | 'call'

/** Returns the `index`th packet, and the agent whose channel it goes to. The 200 agents take turns. */
export function toPublished(
  type: Published,
  index: number,
  t: number,
): { readonly ref: string; readonly packet: string } {
  const ref = String(1000 + (index % AGENTS))
  const own =
    type === 'status'
      ? { status: 'available', campaign_ref: '12' }
      : { call_ref: `1764000000.${index}`, contact_ref: `C${index}`, number: '27821234567', campaign_ref: '12' }
  const payload = { ref, ...own, n: Math.floor(index / AGENTS), t } satisfies Mark & Record<string, unknown>
  return { ref, packet: JSON.stringify({ type, payload }) }
}

/** Fewer calls than a real dialler has for as many CDRs, so that most packs of a lane contain several CDRs of one call, and a wrong order shows. */
const CALLS = 1_000
const CDR_BYTES = 420

/** Returns the `index`th CDR, of 420 bytes. The 1,000 calls take turns, with two adjacent CDRs each. */
export function toCdr(index: number): string {
  const pair = Math.floor(index / 2)
  const call = pair % CALLS
  const n = Math.floor(pair / CALLS) * 2 + (index % 2)
  const number = `2782${String(call % 10_000_000).padStart(7, '0')}`
  const payload = {
    extension: n % 2 === 1 ? String(1000 + (call % AGENTS)) : null,
    number,
    dial_number: `0${number.slice(2)}`,
    call_ref: call,
    contact_ref: `C${call}`,
    dialed_at: 1_764_000_000 + index,
    end_reason: 'hungup',
    end_code: 16,
    call_time: 33,
    hold_time: 2,
    call_dir: 'outbound',
    recording_url: `https://recordings.example.com/2026/11/23/${number}-${1_764_000_000 + index}.wav`,
    ref: String(call),
    n,
    note: '',
  } satisfies Mark & Record<string, unknown>
  const missing = CDR_BYTES - JSON.stringify({ type: 'cdr', payload }).length
  return JSON.stringify({ type: 'cdr', payload: { ...payload, note: 'x'.repeat(Math.max(0, missing)) } })
}

/** Creates an event of the read model. `epoch` is Unix time in ms; the event was received at `timeMs`. */
export function toEvent<P>(
  type: string,
  subType: string,
  reference: string | undefined,
  payload: P,
  { epoch, index, timeMs }: { readonly epoch: number; readonly index: number; readonly timeMs: number },
): StoreEvent<P> {
  const transport = subType === 'cdr' ? 'list' : 'pubsub'
  return {
    id: formatId('main', transport, epoch, index),
    source: 'main',
    type,
    subType,
    reference,
    time: new Date(timeMs).toISOString(),
    timeMs,
    transport,
    channel: `enigma:notifications:${type}`,
    sequence: formatSequence(epoch, index),
    stale: false,
    payload,
    data: JSON.stringify({ type: subType, payload }),
  }
}

/** Returns the payload of the `index`th CDR. */
export const readCdr = (index: number): Cdr => (parseExact(toCdr(index)) as { readonly payload: Cdr }).payload
