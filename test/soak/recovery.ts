import { faultOf, type FaultKind } from './faults.ts'
import type { Ledger } from './ledger.ts'
import type { Stream } from './packets.ts'
import type { Happened, Timeline } from './timeline.ts'

export type RecoveryOptions = { readonly ledger: Ledger; readonly timeline: Timeline }

type Watch = { readonly fault: Happened; readonly endMs: number; readonly left: Set<Stream> }

/**
 * How long after the end of a fault something arrives that was written after it: a list's, and what was published. Only of faults
 * during which, and until then, no other was.
 */
export function createRecovery({ ledger, timeline }: RecoveryOptions) {
  const watches = new Set<Watch>()
  const times = new Map<FaultKind, { main: number[]; pubsub: number[] }>()

  const isDisturbed = ({ fault, endMs }: Watch, nowMs: number) =>
    timeline.happened.some(
      (other) =>
        other !== fault &&
        faultOf(other.kind).track !== 'functions' &&
        other.fromMs <= nowMs &&
        (other.toMs ?? Infinity) >= Math.min(fault.fromMs, endMs),
    )

  return {
    times,
    /** To be called when a fault has ended. */
    watch(fault: Happened): void {
      // What goes wrong behind SQS is not seen here.
      if (faultOf(fault.kind).track === 'functions') return
      watches.add({ fault, endMs: fault.toMs ?? Date.now(), left: new Set(['main', 'pubsub']) })
    },
    /** A packet that has come for the first time. */
    arrived(stream: Stream, n: number, atMs: number): void {
      if (stream === 'shared') return
      for (const watch of watches) {
        if (!watch.left.has(stream) || ledger[stream].fromMs.get(n) < watch.endMs) continue
        watch.left.delete(stream)
        if (watch.left.size === 0) watches.delete(watch)
        if (isDisturbed(watch, atMs)) continue
        const known = times.get(watch.fault.kind) ?? { main: [], pubsub: [] }
        known[stream].push(atMs - watch.endMs)
        times.set(watch.fault.kind, known)
      }
    },
  }
}

export type Recovery = ReturnType<typeof createRecovery>
