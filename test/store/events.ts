import type { StoreEvent } from '../../src/store/index.ts'

let count = 0

/** An event as the adapter gives it: `at` seconds after a fixed moment, its sequence by `at` too. */
export function toEvent<P>(
  type: string,
  subType: string,
  reference: string | undefined,
  payload: P,
  at: number,
  more: Partial<StoreEvent> = {},
): StoreEvent<P> {
  const timeMs = BASE_MS + at * 1000
  const transport = more.transport ?? 'pubsub'
  return {
    id: `main/${transport[0]}/${timeMs}/${at}`,
    source: 'main',
    type,
    subType,
    reference,
    time: new Date(timeMs).toISOString(),
    timeMs,
    transport,
    channel: `enigma:notifications:${type}${reference === undefined ? '' : `:${reference}`}`,
    sequence: `${String(timeMs).padStart(16, '0')}.0000000000`,
    stale: false,
    data: more.data ?? JSON.stringify({ type: subType, payload }),
    ...more,
    payload,
  }
}

/** Unix ms, one hour ago, so that nothing has expired. */
export const BASE_MS = Math.floor(Date.now() / 1000) * 1000 - 3600_000

export const nextId = () => `main/l/${BASE_MS}/${count++}`
