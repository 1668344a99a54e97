import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Route } from '../../protocol/index.ts'
import { sleepToBeat } from '../../runtime/index.ts'
import type { PubsubIntake } from '../pubsub/pubsub-intake.ts'
import { collectGauges, type Tools } from '../metrics.ts'
import { reasonOf, type RedisFault } from '../redis/advice.ts'
import type { SearchFailure } from '../lists/adoption.ts'
import type { Sender } from '../sender/sender.ts'
import { SERVER } from '../targets/target.ts'
import type { Source } from '../source.ts'
import type { RelayConfig } from '../config.ts'
import { describe, RelayError } from '../relay-error.ts'
import type { Journal } from '../journal/journal.ts'

/** One condition of readiness. `since`: when it last changed, ISO 8601. */
export type Part = { readonly ok: boolean; readonly since: string; readonly reason?: string }

export type ReadinessOptions = Tools & {
  readonly senders: ReadonlyMap<Route, Sender>
  readonly sources: readonly Source[]
  readonly intake: PubsubIntake
  readonly channels: readonly string[]
  /** Sends a cheap request, for when SQS has accepted nothing lately. Rejects unless SQS answers it. Undefined when no route goes to SQS. */
  readonly askSqs: ((queueUrl: string) => Promise<unknown>) | undefined
}

/** Without an answer or a heartbeat for this long (ms), the relay is not ready. */
const FRESH_MS = 10_000

/** A part has stalled when something waits and makes no progress for this long (ms). */
const STALL_MS = 30_000

/** How often (ms) the watchdog checks. */
const CHECK_MS = 1_000

/** The time (ms) of an event that never happened. */
const NEVER_MS = Number.NEGATIVE_INFINITY

/** The fault of a part; undefined when it has none. `stalled`: something waits and makes no progress. */
type Fault = { readonly reason: string; readonly stalled?: boolean } | undefined

/**
 * Creates the check of readiness. The relay is ready when Redis answered and the subscription was heard lately, when SQS accepted something lately or
 * answers a cheap request, when no HTTP target fails, when the journal can be written, and when nothing waits without progress. HTTP targets are not
 * asked: each request may run a function, and the liveness message tests them every minute. A watchdog checks once a second and logs changes.
 */
export function createReadiness(options: ReadinessOptions) {
  const { senders, sources, intake, channels, metrics, log, now, askSqs } = options
  const ofSqs = [...senders.values()].filter(({ kind }) => kind === 'sqs')
  const parts = new Map<string, Part>()
  const start = now()
  let sqsAnswered = NEVER_MS
  let sqsFault: Fault
  let asking: Promise<void> | undefined
  const stalls = new Set<string>()
  let wasReady: boolean | undefined

  const fresh = (at = NEVER_MS) => now() - at < FRESH_MS
  const seconds = (since: number) => Math.round((now() - since) / 1000)
  const isStalled = (waiting: number, progressMs: number) => waiting > 0 && now() - progressMs > STALL_MS

  /** An error reply counts as an answer; only silence does not. The reason contains the text of Redis, or of the connection. */
  const redisFault = ({ answered, refusal, connection }: Source['state']): Fault => {
    if (!fresh(answered)) return { reason: connection === undefined ? 'Redis does not answer' : reasonOf(connection) }
    return refusal === undefined ? undefined : { reason: reasonOf(refusal) }
  }
  const because = (what: string, why: RedisFault | undefined): Fault => ({
    reason: why === undefined ? what : `${what}: ${reasonOf(why)}`,
  })

  function* listFaults(): Generator<[part: string, fault: Fault]> {
    for (const { id, state } of sources) {
      yield [`redis:${id}`, redisFault(state)]
      // A source whose server is the wrong one does not run, so it has no other parts.
      const { refused, pubsub } = state
      yield [`source:${id}`, refused === undefined ? undefined : { reason: refused }]
      if (refused !== undefined) continue
      const heard = fresh(pubsub.heardMs) ? undefined : because('the relay hears no heartbeat', pubsub.fault)
      if (channels.length > 0) yield [`pubsub:${id}`, heard]
      const { leased, unleased, searchFailure, lists } = state.lists
      yield [`lease:${id}`, leased ? undefined : because(UNLEASED, unleased)]
      // A fault of the whole server shows in its own part.
      const lasting = (failure: SearchFailure | undefined, prefix = ''): Fault =>
        failure !== undefined && now() - failure.sinceMs > FRESH_MS && fresh(state.answered)
          ? { reason: prefix + failure.reason }
          : undefined
      yield [`claims:${id}`, lasting(searchFailure, 'the relay cannot check for leftover claims: ')]
      for (const [list, { waitsFor, progressMs, items, failing }] of lists) {
        const reason = `${items} items wait, and the relay has taken none for ${seconds(progressMs)} s: it waits for ${WAITS[waitsFor]}`
        yield [`list:${id}:${list}`, isStalled(items, progressMs) ? { reason, stalled: true } : lasting(failing)]
      }
    }
    for (const [{ name }, { status, held, progressMs, inFlight, kind }] of senders) {
      const { failingSince, problem } = status
      const until = failingSince === undefined ? 'for their turn' : `until ${SERVER[kind]} accepts messages again`
      const why = inFlight > 0 ? 'for the response to a request' : until
      const reason = `${held} notifications wait ${why}: no progress for ${seconds(progressMs)} s`
      const refusal = { reason: problem ?? `${SERVER[kind]} accepts no messages` }
      const fault = failingSince === undefined ? undefined : refusal
      yield [
        `${kind === 'sqs' ? 'sqs' : 'target'}:${name}`,
        isStalled(held, progressMs) ? { reason, stalled: true } : fault,
      ]
    }
    // A fault from before the last answer of SQS is outdated.
    if (fresh(lastAnswer())) sqsFault = undefined
    if (askSqs !== undefined) yield ['sqs', sqsFault]
    yield ['journal', intake.brokenSince === undefined ? undefined : { reason: 'the relay cannot write the journal' }]
  }

  const lastAnswer = (): number =>
    Math.max(sqsAnswered, ...ofSqs.map(({ status }) => status.lastAnsweredMs ?? NEVER_MS))

  const checkParts = () => {
    const found = new Map(listFaults())
    for (const name of parts.keys()) if (!found.has(name)) parts.delete(name)
    for (const [name, fault] of found) {
      const former = parts.get(name)
      const ok = fault === undefined
      const since = former?.ok === ok ? former.since : new Date(former === undefined ? start : now()).toISOString()
      parts.set(name, fault === undefined ? { ok, since } : { ok, since, reason: fault.reason })
      if (fault?.stalled !== true) stalls.delete(name)
      else if (!stalls.has(name)) {
        stalls.add(name)
        log.error(
          { code: 'relay.ready.stalled', part: name, waits: fault.reason },
          'A part of the relay has stalled: no progress for 30 s',
        )
      }
    }
    const broken = [...parts].filter(([, part]) => !part.ok)
    const isReady = broken.length === 0
    metrics.ready.set(isReady ? 1 : 0)
    if (wasReady !== isReady) {
      if (isReady) log.info({ code: 'relay.ready.yes' }, 'The relay is ready')
      else if (wasReady === true)
        log.warn(
          { code: 'relay.ready.no', parts: Object.fromEntries(broken.map(([name, { reason }]) => [name, reason])) },
          'The relay is not ready; /readyz lists the reasons',
        )
    }
    wasReady = isReady
    return {
      ok: isReady,
      parts: Object.fromEntries([...parts].filter(([name, part]) => !part.ok || !QUIET.test(name))),
    }
  }

  const probe = async (ask: NonNullable<typeof askSqs>): Promise<void> => {
    const url = ofSqs.find((sender) => sender.address !== undefined)?.address
    if (url === undefined) {
      sqsFault = { reason: 'the relay has found no queue yet' }
      return
    }
    try {
      await ask(url)
      sqsAnswered = now()
      sqsFault = undefined
    } catch {
      sqsFault = { reason: 'SQS does not answer' }
    }
  }

  /** Resolves when it is known whether SQS answers. */
  const askSqsUnlessFresh = async (): Promise<void> => {
    if (askSqs === undefined || fresh(lastAnswer())) return
    asking ??= probe(askSqs).finally(() => {
      asking = undefined
    })
    await asking
  }

  return {
    /** Checks everything. Asks SQS when it has accepted nothing lately. */
    async ask(): Promise<{ readonly ok: boolean; readonly parts: Readonly<Record<string, Part>> }> {
      await askSqsUnlessFresh()
      return checkParts()
    },
    /** The watchdog: checks until the signal aborts. It asks SQS too, so that log and metric agree with `/readyz`. */
    async run(signal: AbortSignal): Promise<void> {
      while (!signal.aborted) {
        await sleepToBeat(CHECK_MS, signal)
        if (signal.aborted) return
        void askSqsUnlessFresh()
        checkParts()
      }
    },
  }
}

export type Readiness = ReturnType<typeof createReadiness>

const UNLEASED =
  'the relay does not hold its relay id: another relay holds it, or Redis does not answer or refuses the command'

/** Parts of which there are many: listed only while they are not ok. */
const QUIET = /^(sqs:|target:|list:|lease:|source:|claims:)/

const WAITS = {
  lease: 'the lease on its relay id',
  claims: 'leftover claims of this relay, or of another relay whose lease has not expired yet',
  room: 'free memory, which it has again when the targets accept messages',
  redis: 'an answer from Redis',
  items: 'an item, although the list has some: the connection may be dead',
} as const

export type HealthOptions = Tools & {
  readonly http: RelayConfig['http']
  readonly senders: ReadonlyMap<Route, Sender>
  readonly journal: Journal
  readonly readiness: Readiness
  readonly onListening: ((address: string) => void) | undefined
}

/** Serves `/livez`, `/readyz` and `/metrics`. Resolves with a function that stops the server. @throws RelayError `relay.http.address_in_use` */
export async function serveHealth(options: HealthOptions): Promise<() => Promise<void>> {
  const { metrics, senders, journal, readiness, now, log } = options
  const app = new Hono()
  app.get('/livez', (c) => c.json({ ok: true }))
  app.get('/readyz', async (c) => {
    const { ok, parts } = await readiness.ask()
    return c.json({ ok, parts }, ok ? 200 : 503)
  })
  app.get('/metrics', async (c) => {
    collectGauges(metrics, senders, journal.size(), now())
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
