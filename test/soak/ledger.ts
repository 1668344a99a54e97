import { createColumn } from './column.ts'
import { STREAMS, type Stream } from './packets.ts'

/** What is known of a packet, as bits. */
export const WRITTEN = 1
/** Redis answered that it has it. */
export const TAKEN = 2
/** It may be there twice, under two ids: a push whose answer was lost with the whole of Redis. */
export const MAYBE_TWICE = 4
/** It was in a Redis that came back empty, and no relay was known to have it in memory. */
export const MAYBE_LOST = 8
export const ARRIVED = 16
export const PARKED = 32
/** Given to a function; and handled or parked there. */
export const FED = 64
export const HANDLED = 128

const LETTERS = 'lpro'

/** All packets of a stream by their number: when they were written, and as what they arrived first. Some 40 bytes each. */
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
    /** Before the command is sent. */
    begin(n: number, atMs: number): void {
      if (!has(n, WRITTEN)) {
        state.written = n + 1
        fromMs.set(n, atMs)
      }
      flags.set(n, flags.get(n) | WRITTEN)
    },
    /** When Redis has answered, or the command has failed. */
    end(n: number, atMs: number, taken: boolean): void {
      toMs.set(n, atMs)
      if (taken) flags.set(n, flags.get(n) | TAKEN)
    },
    /** The first time with this number: notes its id, `main/l/<number>/<index>`. */
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
    /** The claim's or the epoch's, and the place in it. */
    numberOf: (n: number): number => number.get(n),
    indexOf: (n: number): number => index.get(n),
  }
}

export type StreamLedger = ReturnType<typeof createStreamLedger>
export type Ledger = Readonly<Record<Stream, StreamLedger>>

export const createLedger = (): Ledger =>
  Object.fromEntries(STREAMS.map((stream) => [stream, createStreamLedger()])) as unknown as Ledger
