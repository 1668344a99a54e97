import { createColumn } from './column.ts'
import { STREAMS, type Stream } from './packets.ts'

/** Flags of a packet. `WRITTEN`: the dialler has begun to write it. */
export const WRITTEN = 1
/** Redis has confirmed the write. */
export const TAKEN = 2
/** It may arrive under two ids: Redis lost its data before it answered the push. */
export const MAYBE_TWICE = 4
/** It was in a Redis that restarted empty, and no relay was known to have it in memory. */
export const MAYBE_LOST = 8
export const ARRIVED = 16
export const PARKED = 32
/** `FED`: given to a function. `HANDLED`: the function handled or parked it. */
export const FED = 64
export const HANDLED = 128

const LETTERS = 'lpro'

/** Creates a record of all packets of a stream: when each was written, and the id of its first arrival. About 40 bytes per packet. */
export function createStreamLedger() {
  const [fromMs, toMs, arrivedMs] = [
    createColumn((length) => new Float64Array(length)),
    createColumn((length) => new Float64Array(length)),
    createColumn((length) => new Float64Array(length)),
  ]
  const [number, index, letter] = [
    createColumn((length) => new Float64Array(length)),
    createColumn((length) => new Int32Array(length)),
    createColumn((length) => new Uint8Array(length)),
  ]
  const flags = createColumn((length) => new Uint8Array(length))
  const state = { written: 0, arrived: 0, copies: 0 }
  const has = (n: number, flag: number): boolean => (flags.get(n) & flag) !== 0
  return {
    state,
    fromMs,
    toMs,
    arrivedMs,
    has,
    set: (n: number, flag: number): void => flags.set(n, flags.get(n) | flag),
    /** Call it before the command is sent. */
    begin(n: number, atMs: number): void {
      if (!has(n, WRITTEN)) {
        state.written = n + 1
        fromMs.set(n, atMs)
      }
      flags.set(n, flags.get(n) | WRITTEN)
    },
    /** Call it when Redis has answered, or the command has failed. */
    end(n: number, atMs: number, taken: boolean): void {
      toMs.set(n, atMs)
      if (taken) flags.set(n, flags.get(n) | TAKEN)
    },
    /** Records the first arrival of a packet, with its id: `main/l/<number>/<index>`. */
    arrive(n: number, id: string, atMs: number): void {
      const [, kind = '', major = '', minor = ''] = id.split('/')
      letter.set(n, LETTERS.indexOf(kind))
      number.set(n, Number(major))
      index.set(n, Number(minor))
      arrivedMs.set(n, atMs)
      flags.set(n, flags.get(n) | ARRIVED)
      state.arrived++
    },
    idOf: (n: number): string => `main/${LETTERS[letter.get(n)]}/${number.get(n)}/${index.get(n)}`,
    /** The number of the claim or epoch in the id. `indexOf` returns the index within it. */
    numberOf: (n: number): number => number.get(n),
    indexOf: (n: number): number => index.get(n),
  }
}

export type StreamLedger = ReturnType<typeof createStreamLedger>
export type Ledger = Readonly<Record<Stream, StreamLedger>>

export const createLedger = (): Ledger =>
  Object.fromEntries(STREAMS.map((stream) => [stream, createStreamLedger()])) as unknown as Ledger
