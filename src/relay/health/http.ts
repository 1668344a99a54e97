import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Route } from '../../protocol/index.ts'
import type { Logger } from '../../runtime/index.ts'
import { describe, RelayError } from '../errors.ts'
import type { Journal } from '../journal/journal.ts'
import type { Metrics } from '../metrics.ts'
import type { Readiness } from './readiness.ts'
import type { Sender } from '../sender/sender.ts'

export type HealthOptions = {
  readonly http: { readonly host: string; readonly port: number }
  readonly metrics: Metrics
  readonly senders: ReadonlyMap<Route, Sender>
  readonly journal: Journal
  readonly readiness: Readiness
  readonly now: () => number
  /** Called with the address. */
  readonly onListening?: ((address: string) => void) | undefined
  readonly log: Logger
}

/** Serves `/livez`, `/readyz` and `/metrics`; resolves with how to stop. @throws RelayError `relay.http.address_in_use` */
export async function serveHealth(options: HealthOptions): Promise<() => Promise<void>> {
  const app = createHealth(options)
  const { host, port } = options.http
  const authority = host.includes(':') ? `[${host}]` : host
  const server = serve({ fetch: app.fetch, hostname: host, port, overrideGlobalObjects: false })
  try {
    await once(server, 'listening')
  } catch (error) {
    throw new RelayError(
      'relay.http.address_in_use',
      `the relay cannot listen on ${authority}:${port} (${describe(error)}): set ENIGMA_HTTP to a free address`,
      { cause: error },
    )
  }
  const address = `http://${authority}:${(server.address() as AddressInfo).port}`
  options.log.info({ code: 'relay.http.listening', address }, 'The relay serves /livez, /readyz and /metrics')
  options.onListening?.(address)
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve())
      if ('closeAllConnections' in server) server.closeAllConnections()
    })
}

export function createHealth(options: HealthOptions): Hono {
  const app = new Hono()
  app.get('/livez', (c) => c.json({ ok: true }))
  app.get('/readyz', async (c) => {
    const { ok, parts } = await options.readiness.ask()
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
