import type { Route, Routes } from '../../protocol/index.ts'
import type { Logger } from '../../runtime/index.ts'
import type { RelayConfig } from '../config.ts'
import { toTlsOptions } from '../redis/address.ts'
import type { SenderOptions } from '../sender/sender.ts'
import { createHttpTarget, destinationOf, usesSqs, variableOf } from './http/http-target.ts'
import { createHttpHandler, onProxyOf, type HttpHandlerOptions } from './http-handler.ts'
import { createSqs } from './sqs/sqs-client.ts'
import { createSqsTarget } from './sqs/sqs-target.ts'
import type { Target } from './target.ts'

export type TargetsOptions = Pick<HttpHandlerOptions, 'requestTimeoutMs'> & { readonly log?: Logger }

/** The client of the HTTP targets, with their proxies and certificates. */
export const createTargetClient = ({ proxies, targets }: RelayConfig, { requestTimeoutMs, log }: TargetsOptions) =>
  createHttpHandler({ proxies, requestTimeoutMs, onProxy: onProxyOf(log), tls: toTlsOptions(targets.access) })

/** Where the notifications of a route go, and the variable that says so. */
export function placeOf({ targets }: RelayConfig, route: Route) {
  const url = destinationOf(targets, route)
  return { url, variable: targets.ofRoutes.has(route.name) ? variableOf(route) : 'ENIGMA_TARGET' }
}

/** The targets of all routes, with one client for SQS, which is there only if any route needs it, and one for HTTP servers. */
export function openTargets(config: RelayConfig, routes: Routes, options: TargetsOptions) {
  const sqs = usesSqs(config.targets, routes) ? createSqs(config, options) : undefined
  const http = createTargetClient(config, options)
  return {
    sqs,
    http,
    targetOf(route: Route, tools: Pick<SenderOptions, 'log' | 'outages'>): Target {
      const { url, variable } = placeOf(config, route)
      if (url !== 'sqs') return createHttpTarget({ route, url, variable, access: config.targets.access, http })
      const { batches } = sqs as NonNullable<typeof sqs>
      return createSqsTarget({ ...tools, route, queuePrefix: config.queuePrefix, batches })
    },
    /** Ends all connections, and with them what is under way. */
    destroy(): void {
      sqs?.destroy()
      http.destroy()
    },
  }
}

export type Targets = ReturnType<typeof openTargets>
