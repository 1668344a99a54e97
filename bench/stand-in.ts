import { sleep } from '../src/runtime/index.ts'
import type { Report } from './arrivals.ts'
import { firstMatch, startNode } from './processes.ts'

export type StandIn = {
  readonly endpoint: string
  /** Resolves when no request has arrived for `quietMs` (default 500), or after `limitMs`. @throws when the signal aborts */
  quiet: (limitMs: number, signal: AbortSignal, quietMs?: number) => Promise<void>
  /** Begins or ends an outage, in which SQS answers every send with 503. */
  outage: (on: boolean) => Promise<void>
  /** Returns a report on the messages since the last one. */
  report: (expected: number) => Promise<Report>
  stop: () => Promise<void>
}

const QUIET_MS = 500

/** Starts the stand-in for SQS. @param delayMs the maximum random delay of a response; 0: none */
export async function startStandIn(delayMs: number): Promise<StandIn> {
  const running = startNode('./sqs-stand-in.ts', { DELAY_MS: String(delayMs) })
  const endpoint = await firstMatch(running, /http:\S+/)
  const get = async (path: string) => (await fetch(`${endpoint}${path}`)).json()
  return {
    endpoint,
    quiet: async (limitMs, signal, quietMs = QUIET_MS) => {
      const until = performance.now() + limitMs
      for (let before = -1; performance.now() < until;) {
        const requests = (await get('/requests')) as number
        if (requests === before) return
        before = requests
        await sleep(quietMs, signal)
        signal.throwIfAborted()
      }
    },
    outage: async (on) => void (await get(`/outage?on=${on ? 1 : 0}`)),
    report: async (expected) => (await get(`/report?expected=${expected}`)) as Report,
    stop: running.stop,
  }
}
