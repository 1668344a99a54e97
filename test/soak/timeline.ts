import type { FaultKind } from './faults.ts'

/** A fault that happened: unix ms. `toMs` is not there while it lasts. */
export type Happened = { readonly kind: FaultKind; readonly fromMs: number; toMs?: number }

/** What happened when. */
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
    /** `12.345 s, during redis-kill, sqs-hang; after sqs-500 by 200 ms` */
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
