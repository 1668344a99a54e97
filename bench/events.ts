import { formatId, formatSequence, parseExact, type Cdr } from '../src/protocol/index.ts'
import type { StoreEvent } from '../src/store/index.ts'
import { toCdr } from './packets.ts'

/** An event of the read model; `epoch` is Unix ms, and the event came at `timeMs`. */
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

/** The CDR of the bench, by its number. */
export const readCdr = (index: number): Cdr => (parseExact(toCdr(index)) as { readonly payload: Cdr }).payload
