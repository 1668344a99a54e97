import type { FaultKind } from './faults.ts'

/** A fault that has begun (times in unix ms). `toMs` is undefined while it lasts. */
export type Happened = { readonly kind: FaultKind; readonly fromMs: number; toMs?: number }

/** Records when faults began and ended. */
export function createTimeline(startMs: number) {
  const happened: Happened[] = []
  return {
    happened,
    begin(kind: FaultKind): Happened {
      const one = { kind, fromMs: Date.now() }
      happened.push(one)
      return one
    },
    end(one: Happened): void {
      one.toMs = Date.now()
    },
    /** Example: `12.345 s, during redis-kill, sqs-hang, 200 ms after sqs-500` */
    describe(atMs: number): string {
      const during = happened
        .filter(({ fromMs, toMs = Infinity }) => fromMs <= atMs && toMs >= atMs)
        .map(({ kind }) => kind)
      const last = happened.findLast(({ toMs = Infinity }) => toMs < atMs)
      const words = [
        `${((atMs - startMs) / 1_000).toFixed(3)} s`,
        ...(during.length > 0 ? [`during ${during.join(', ')}`] : []),
        ...(last?.toMs === undefined ? [] : [`${atMs - last.toMs} ms after ${last.kind}`]),
      ]
      return words.join(', ')
    },
  }
}

export type Timeline = ReturnType<typeof createTimeline>
