import { onTestFinished } from 'vitest'
import type { SQSClient } from '@aws-sdk/client-sqs'
import type { Route } from '../../src/protocol/index.ts'
import { createMetrics } from '../../src/relay/metrics.ts'
import { createUplink, type Uplink, type UplinkOptions } from '../../src/relay/sender/uplink.ts'
import { createSender, type SenderOptions } from '../../src/relay/sender/sender.ts'
import { createOutages } from '../../src/relay/sender/back-pressure.ts'
import { createHttpHandler } from '../../src/relay/targets/http-handler.ts'
import { createHttpTarget } from '../../src/relay/targets/http/http-target.ts'
import type { TargetAccess } from '../../src/relay/targets/http/target-settings.ts'
import type { Targets, Target } from '../../src/relay/targets/target.ts'
import { toTlsOptions } from '../../src/relay/redis/address.ts'
import { createBatchClient, type BatchClient } from '../../src/relay/targets/sqs/sqs-client.ts'
import { createSqsTarget } from '../../src/relay/targets/sqs/sqs-target.ts'
import { createAcknowledger, makeItem } from './items.ts'
import { captureLog } from './log.ts'
import { waitFor } from './relay.ts'
import { routeOf } from './routes.ts'

/** Returns the route of agents/status with the given settings. By default, it does not linger. */
export const routeWith = (own: Partial<Route>): Route => ({ ...routeOf('agents', 'status'), lingerMs: 0, ...own })

/** Creates an uplink that has measured a high speed, so that it does not limit the size of requests. */
export function fastUplink(options: UplinkOptions = {}): Uplink {
  const uplink = createUplink(options)
  uplink.arrive(uplink.ship(100 * 1024 * 1024), 'answered')
  return uplink
}

/** Returns the client that sends batches: the one that `createSqs` attached to this SDK client, or a new one. */
export function batchesOf(sqs: SQSClient & { readonly batches?: BatchClient }): BatchClient {
  if (sqs.batches !== undefined) return sqs.batches
  const http = createHttpHandler({
    proxies: { https: undefined, http: undefined, except: '' },
    requestTimeoutMs: 5_000,
  })
  onTestFinished(() => http.destroy())
  return createBatchClient({ sqs, http })
}

/** Returns the queues of this SQS as the targets of all routes. */
export const targetsOf = (sqs: SQSClient): Pick<Targets, 'targetOf'> => {
  const batches = batchesOf(sqs)
  return { targetOf: (route, tools) => createSqsTarget({ ...tools, route, queuePrefix: 'enigma-', batches }) }
}

/** The HTTP target of a route at this address. */
export function httpTargetOf(route: Route, url: string, access: TargetAccess = {}): Target {
  const http = createHttpHandler({
    proxies: { https: undefined, http: undefined, except: '' },
    requestTimeoutMs: 5_000,
    tls: toTlsOptions(access),
  })
  onTestFinished(() => http.destroy())
  return createHttpTarget({ route, url: new URL(url), access, http })
}

/** Starts a sender to the queue of this route, or to another target. Stops it when the test ends. */
export function startSender(
  to: SQSClient | ((route: Route) => Target),
  options: Pick<SenderOptions, 'route'> & Partial<SenderOptions>,
) {
  const { log = captureLog().log, route } = options
  const outages = createOutages(log)
  const target = typeof to === 'function' ? to(route) : targetsOf(to).targetOf(route, { log, outages })
  const sender = createSender({
    target,
    log,
    outages,
    metrics: createMetrics(),
    now: Date.now,
    uplink: createUplink(),
    onRoom: () => undefined,
    ...options,
  })
  onTestFinished(() => sender.stop(0))
  return sender
}

/** Starts a sender with an acknowledger that records the outcomes of all items pushed into it. Stops it when the test ends. */
export function useSender(to: SQSClient | ((route: Route) => Target), own: Partial<Route> = {}, uplink = fastUplink()) {
  const route = routeWith(own)
  const metrics = createMetrics()
  const { log, coded, lines } = captureLog()
  const { acknowledger, settled, parked, attempts } = createAcknowledger()
  const sender = startSender(to, { route, log, metrics, uplink })
  return {
    sender,
    metrics,
    coded,
    lines,
    settled,
    parked,
    attempts,
    push: (reference: string, n: number, more: Record<string, unknown> = {}) => {
      const item = makeItem(acknowledger, reference, n, more)
      sender.push({ ...item, lane: item.lane % route.lanes, receivedMs: Date.now() })
    },
    /** Waits until the sender holds no items. */
    drained: (timeoutMs = 10_000) => waitFor(() => sender.held === 0, 'the sender to be drained', timeoutMs),
  }
}

/** Returns whether the numbers of each agent rise. */
export function isInOrder(numbers: readonly { readonly reference: string; readonly n: number }[]): boolean {
  const last = new Map<string, number>()
  return numbers.every(({ reference, n }) => {
    const former = last.get(reference) ?? -1
    last.set(reference, n)
    return n > former
  })
}
