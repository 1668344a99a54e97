import type { App } from '../adapter/index.ts'
import type { Route } from '../protocol/index.ts'

/** Handlers of a route that fail on purpose, so that somebody can try what then happens. */
export type Fault = {
  /** `campaigns-cdr` */
  readonly route: string
  /** The HTTP status that the handler answers. */
  readonly status: number
  /** Of how many of the notifications: above 0, at most 1. */
  readonly share: number
  /** Until when: unix ms. Absent: always. */
  readonly untilMs?: number | undefined
}

/** An app in front of which some notifications fail: the same ones at each attempt. @param json of the faults, as `npm run dev -- --fail` makes it */
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

/** Where an id is between 0 and 1: FNV-1a, mixed, since ids differ in their last digits only. */
function shareOf(id: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < id.length; at++) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}
