import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Route } from '../../protocol/index.ts'
import { sleep } from '../../runtime/index.ts'
import type { RelayConfig } from '../config.ts'
import { describe, RelayError } from '../errors.ts'
import { toItem, type Item } from '../item.ts'
import type { Journal } from '../journal/journal.ts'
import type { Tools } from '../metrics.ts'
import { formatNotice, stampNotice } from '../notice.ts'
import { ownIndex } from '../redis/keys.ts'
import type { Sender } from '../sender/sender.ts'
import type { Readiness } from './readiness.ts'

export type HealthOptions = Tools & {
  readonly http: RelayConfig['http']
  readonly senders: ReadonlyMap<Route, Sender>
  readonly journal: Journal
  readonly readiness: Readiness
  readonly onListening: ((address: string) => void) | undefined
}

/** Serves `/livez`, `/readyz` and `/metrics`; resolves with how to stop. @throws RelayError `relay.http.address_in_use` */
export async function serveHealth(options: HealthOptions): Promise<() => Promise<void>> {
  const { metrics, senders, journal, readiness, now, log } = options
  const app = new Hono()
  app.get('/livez', (c) => c.json({ ok: true }))
  app.get('/readyz', async (c) => {
    const { ok, parts } = await readiness.ask()
    return c.json({ ok, parts }, ok ? 200 : 503)
  })
  app.get('/metrics', async (c) => {
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

  const { host, port } = options.http
  const authority = host.includes(':') ? `[${host}]` : host
  const server = serve({ fetch: app.fetch, hostname: host, port, overrideGlobalObjects: false })
  try {
    await once(server, 'listening')
  } catch (error) {
    const text = `the relay cannot listen on ${authority}:${port} (${describe(error)}): set ENIGMA_HTTP to a free address`
    throw new RelayError('relay.http.address_in_use', text, { cause: error })
  }
  const address = `http://${authority}:${(server.address() as AddressInfo).port}`
  log.info({ code: 'relay.http.listening', address }, 'The relay serves /livez, /readyz and /metrics')
  options.onListening?.(address)
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve())
      if ('closeAllConnections' in server) server.closeAllConnections()
    })
}

export type AliveOptions = Omit<Tools, 'metrics'> & {
  readonly relayId: string
  /** Of the sources; the first one gives the number. */
  readonly sourceIds: readonly string[]
  readonly lists: readonly string[]
  readonly startedMs: number
  /** How often (ms) it reports. The alarm waits for five minutes. */
  readonly everyMs: number
  readonly isReady: () => Promise<boolean>
  /** Makes a number that nothing else of the first source has. @throws what Redis answers */
  readonly nextNumber: () => Promise<number>
  /** Puts it in the lane of its route. */
  readonly push: (item: Item) => void
}

/** How soon (ms) it checks again while the relay is not ready. */
const LOOK_MS = 1_000

/**
 * Reports through its target that the relay is running, while it is ready: by the way of notifications, so that whatever stops those stops this.
 * It is not journalled, since a late report is worth nothing. The next report waits until the last one was accepted.
 */
export async function reportAlive(options: AliveOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const isReported = (await options.isReady()) && !signal.aborted && (await report(options, signal))
    await sleep(isReported ? options.everyMs : LOOK_MS, signal)
  }
}

/** Resolves when the report was accepted, or the relay ends; with false when Redis gave no number. */
async function report(options: AliveOptions, signal: AbortSignal): Promise<boolean> {
  const { relayId, sourceIds, lists, startedMs, nextNumber, push, log, now } = options
  const number = await nextNumber().catch(() => undefined)
  if (number === undefined || signal.aborted) return false
  const payload = {
    relay: relayId,
    sources: [...sourceIds],
    lists: [...lists],
    started: new Date(startedMs).toISOString(),
  }
  const origin = { sourceId: sourceIds[0] ?? '', number, index: ownIndex(relayId), timeMs: now() }
  const stamped = stampNotice(formatNotice({ subType: 'alive', payload }), origin)
  const { promise, resolve } = Promise.withResolvers<void>()
  const end = () => resolve()
  signal.addEventListener('abort', end)
  try {
    const park = async (_item: Item, reason: string, detail: string): Promise<void> => {
      log.warn({ code: 'relay.alive.rejected', reason, detail }, 'The target rejected the liveness message')
      resolve()
    }
    push(toItem(stamped, { settle: end, park }, 0))
    await promise
    return true
  } finally {
    // Otherwise one more listener would stay each minute.
    signal.removeEventListener('abort', end)
  }
}
