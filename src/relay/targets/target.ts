import type { Route, Routes } from '../../protocol/index.ts'
import type { Code, Logger } from '../../runtime/index.ts'
import type { RelayConfig } from '../config.ts'
import type { Item } from '../item.ts'
import { toTlsOptions } from '../redis/address.ts'
import type { Pack } from '../sender/lane.ts'
import type { SenderOptions } from '../sender/sender.ts'
import { createHttpHandler, onProxyOf, type HttpHandlerOptions } from './http-handler.ts'
import { createHttpTarget } from './http/http-target.ts'
import { destinationOf, usesSqs, variableOf } from './http/target-settings.ts'
import { createSqs } from './sqs/sqs-client.ts'
import { createSqsTarget } from './sqs/sqs-target.ts'

/** The name of a target's server in a sentence. */
export const SERVER = { sqs: 'SQS', http: 'the target' } as const

/** A problem with a target: its code, and a sentence for the operator with the remedy. */
export type Problem = { readonly code: Code; readonly text: string }

/** Where requests to a target go: its address, and how much it accepts at once. */
export type Endpoint = {
  readonly address: string
  readonly maxBytes: number
  /** The largest request, in bytes, where it is known to be smaller than a message may be. Default: `maxBytes`. */
  readonly requestBytes?: number
}

/** A pack and the lane that it belongs to. Packs of one group are handled in the order in which they were accepted. */
export type Parcel = { readonly group: string; readonly pack: Pack }

/** What follows when a target does not accept something. */
export type Rejection = {
  /** `retry`: the same bytes may be accepted later. `refused`: they never will be. */
  readonly verdict: 'retry' | 'refused'
  /** The server's own name for the reason, such as `InvalidMessageContents`. */
  readonly reason: string
  /** The server's text. It may quote the packet, and so personal data. */
  readonly detail: string
  readonly isForSize: boolean
  readonly isAnswer: boolean
  /** Whether the target has another address now: `find` it again. */
  readonly isMissing: boolean
  /** How long (ms) the server asked the relay to pause. Default: the back-off alone decides. */
  readonly afterMs?: number | undefined
  readonly problem: Problem
}

/** The server has finished some notifications of a pack, and asks for the others again: they are the next attempt. */
export type Unfinished = {
  readonly verdict: 'unfinished'
  /** At least one, in the order of the pack. */
  readonly left: readonly Item[]
  /** How soon (ms) they may be sent again; undefined when the server does not say. */
  readonly afterMs: number | undefined
}

export type Outcome = 'accepted' | Unfinished | Rejection

/** A destination of a sender. It keeps no order and retries nothing: both are the sender's job. */
export type Target = {
  readonly kind: 'sqs' | 'http'
  /** Its name in logs: the queue's name, or the address of the server without its query. */
  readonly name: string
  /** How long (ms) the server may work on a request before it answers; 0: it only stores the request. */
  readonly workMs: number
  /** Whether a pack that is too large may be gzipped. */
  readonly takesGzip: boolean
  /** Resolves when the target exists and can be used; undefined when the signal aborts first. `onProblem` is called for each failed try. */
  readonly find: (signal: AbortSignal, onProblem: (problem: Problem) => void) => Promise<Endpoint | undefined>
  /** Sends packs in one request. Resolves with an outcome for each; rejects when the request failed as a whole (see `explain`). */
  readonly send: (
    to: Endpoint,
    parcels: readonly Parcel[],
    signal: AbortSignal,
    limitMs: number,
  ) => Promise<readonly Outcome[]>
  /** Returns what follows from an error of `send`. */
  readonly explain: (error: unknown) => Rejection
}

export type TargetsOptions = Pick<HttpHandlerOptions, 'requestTimeoutMs'> & { readonly log?: Logger }

/** Creates the client of the HTTP targets, with their proxies and certificates. */
export const createTargetClient = ({ proxies, targets }: RelayConfig, { requestTimeoutMs, log }: TargetsOptions) =>
  createHttpHandler({ proxies, requestTimeoutMs, onProxy: onProxyOf(log), tls: toTlsOptions(targets.access) })

/** Returns the target of a route, and the variable that sets it. */
export function targetAddressOf({ targets }: RelayConfig, route: Route) {
  const url = destinationOf(targets, route)
  return { url, variable: targets.ofRoutes.has(route.name) ? variableOf(route) : 'ENIGMA_TARGET' }
}

/** Opens the targets of all routes, with one client for HTTP servers, and one for SQS if any route needs it. */
export function openTargets(config: RelayConfig, routes: Routes, options: TargetsOptions) {
  const sqs = usesSqs(config.targets, routes) ? createSqs(config, options) : undefined
  const http = createTargetClient(config, options)
  return {
    sqs,
    http,
    targetOf(route: Route, tools: Pick<SenderOptions, 'log' | 'outages'>): Target {
      const { url, variable } = targetAddressOf(config, route)
      const { access, timeoutSeconds } = config.targets
      if (url !== 'sqs') return createHttpTarget({ route, url, variable, access, timeoutSeconds, http })
      const { batches } = sqs as NonNullable<typeof sqs>
      return createSqsTarget({ ...tools, route, queuePrefix: config.queuePrefix, batches })
    },
    /** Ends all connections, and with them every request in flight. */
    destroy(): void {
      sqs?.destroy()
      http.destroy()
    },
  }
}

export type Targets = ReturnType<typeof openTargets>
