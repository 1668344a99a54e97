import { faultOf, type FaultKind } from './faults.ts'
import type { Ledger } from './ledger.ts'
import type { Stream } from './packets.ts'
import type { Happened, Timeline } from './timeline.ts'

export type RecoveryOptions = { readonly ledger: Ledger; readonly timeline: Timeline }

type Watch = { readonly fault: Happened; readonly endMs: number; readonly left: Set<Stream> }

/**
 * Measures the time from the end of a fault until a CDR and a Pub/Sub packet that were written after it arrive. A fault counts only if no
 * other fault, except of functions, occurred between its start and that arrival.
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
    /** Call it when a fault has ended. */
    watch(fault: Happened): void {
      // Arrivals are recorded before the functions run, so faults of functions do not affect them.
      if (faultOf(fault.kind).track === 'functions') return
      watches.add({ fault, endMs: fault.toMs ?? Date.now(), left: new Set(['main', 'pubsub']) })
    },
    /** Call it with the first arrival of each packet. */
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
