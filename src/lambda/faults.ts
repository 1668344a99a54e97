import type { App } from '../adapter/index.ts'
import type { Route } from '../protocol/index.ts'

/** A fault to inject: handlers of a route fail on purpose, so that you can observe retries and parking. */
export type Fault = {
  /** The name of the route: `campaigns-cdr`. */
  readonly route: string
  /** The HTTP status of the response. */
  readonly status: number
  /** The share of notifications that fail: above 0, at most 1. */
  readonly share: number
  /** When the fault ends (Unix ms). Absent: never. */
  readonly untilMs?: number | undefined
}

/** Returns an app that fails for some notifications, the same ones on each attempt. @param json the faults, as `npm run dev -- --fail` passes them */
export function withFaults(app: App, { name }: Route, json = ''): App {
  const faults = json === '' ? [] : (JSON.parse(json) as readonly Fault[]).filter(({ route }) => route === name)
  if (faults.length === 0) return app
  return {
    fetch: (request, env) => {
      const place = shareOf(request.headers.get('ce-id') ?? '')
      const fault = faults.find(({ share, untilMs = Infinity }) => place < share && Date.now() < untilMs)
      return fault === undefined
        ? app.fetch(request, env)
        : new Response(`fails on purpose (--fail ${name}=${fault.status})`, { status: fault.status })
    },
  }
}

/** Maps an id to a number between 0 and 1: FNV-1a with a final mix, because ids differ only in their last digits. */
function shareOf(id: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < id.length; at++) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}
