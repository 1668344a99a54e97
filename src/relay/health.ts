import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Route } from '../protocol/index.ts'
import { describe, RelayError } from './errors.ts'
import type { Journal } from './journal.ts'
import type { JournalIntake } from './journal-intake.ts'
import type { Metrics } from './metrics.ts'
import type { Sender } from './sender.ts'
import type { Source } from './source.ts'

export type HealthOptions = {
  readonly http: { readonly host: string; readonly port: number }
  readonly metrics: Metrics
  readonly senders: ReadonlyMap<Route, Sender>
  readonly sources: readonly Source[]
  readonly intake: JournalIntake
  readonly journal: Journal
  readonly channels: readonly string[]
  readonly now: () => number
  readonly onListening: (address: string) => void
}

/** Longer than this without an answer or a heartbeat: not ready. */
const FRESH_MS = 10_000

/** Serves `/livez`, `/readyz` and `/metrics`; resolves with how to stop. @throws RelayError `address_in_use` */
export async function serveHealth(options: HealthOptions): Promise<() => Promise<void>> {
  const app = createHealth(options)
  const { host, port } = options.http
  const server = serve({ fetch: app.fetch, hostname: host, port })
  try {
    await once(server, 'listening')
  } catch (error) {
    throw new RelayError('address_in_use', `cannot serve on ${host}:${port} (${describe(error)}): set ENIGMA_HTTP to a free address`, { cause: error })
  }
  options.onListening(`http://${host}:${(server.address() as AddressInfo).port}`)
  return () => new Promise((resolve) => {
    server.close(() => resolve())
    if ('closeAllConnections' in server) server.closeAllConnections()
  })
}

type Part = { readonly ok: boolean; readonly reason?: string }

/** Ready means: Redis answered, the subscription was heard, SQS accepted or could accept, the journal can be written. */
function checkParts({ senders, sources, intake, channels, now }: HealthOptions): Record<string, Part> {
  const parts: Record<string, Part> = {}
  const fresh = (at: number | undefined) => at !== undefined && now() - at < FRESH_MS
  for (const { id, state } of sources) {
    parts[`redis:${id}`] = fresh(state.answered) ? { ok: true } : { ok: false, reason: 'Redis has not answered' }
    if (channels.length > 0) parts[`pubsub:${id}`] = fresh(state.heard) ? { ok: true } : { ok: false, reason: 'no heartbeat was heard' }
    if (!state.leased) parts[`lease:${id}`] = { ok: false, reason: 'the relay id is not held: another relay has it, or Redis has not answered' }
  }
  for (const [route, sender] of senders) {
    const { failingSince } = sender
    if (failingSince !== undefined) parts[`sqs:${route.name}`] = { ok: false, reason: 'SQS accepts nothing' }
  }
  parts['journal'] = intake.brokenSince === undefined ? { ok: true } : { ok: false, reason: 'the journal cannot be written' }
  return parts
}

export function createHealth(options: HealthOptions): Hono {
  const app = new Hono()
  app.get('/livez', (c) => c.json({ ok: true }))
  app.get('/readyz', (c) => {
    const parts = checkParts(options)
    const ok = Object.values(parts).every((part) => part.ok)
    return c.json({ ok, parts }, ok ? 200 : 503)
  })
  app.get('/metrics', async (c) => {
    const { metrics, senders, journal, now } = options
    for (const [route, sender] of senders) {
      const labels = { route: route.name }
      const oldest = sender.oldestMs()
      metrics.held.set(labels, sender.held)
      metrics.heldBytes.set(labels, sender.bytes)
      metrics.inFlight.set(labels, sender.inFlight)
      metrics.oldest.set(labels, oldest === undefined ? 0 : (now() - oldest) / 1000)
    }
    const { rows, bytes } = journal.size()
    metrics.journalRows.set(rows)
    metrics.journalBytes.set(bytes)
    return c.text(await metrics.registry.metrics(), 200, { 'content-type': metrics.registry.contentType })
  })
  return app
}
