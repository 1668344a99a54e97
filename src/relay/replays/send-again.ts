import type { Routes } from '../../protocol/index.ts'
import type { RelayConfig } from '../config.ts'
import { authorize, CONTENT_TYPE } from '../targets/http/http-target.ts'
import { explainTarget, readUnfinished } from '../targets/http/http-verdict.ts'
import type { HttpHandler } from '../targets/http-handler.ts'
import { placeOf } from '../targets/open-targets.ts'
import type { SendAgain } from './send-round.ts'

/** Where a server names no time: as after the first attempt behind a queue. */
const AFTER_MS = 1_000

/** Longer than functions take, by the time limit of their route. */
const MARGIN_MS = 10_000

/** Sends messages of replays to the HTTP targets of their routes, one in a request, as notifications are sent. */
export function createSendAgain({
  config,
  routes,
  http,
}: {
  readonly config: RelayConfig
  readonly routes: Routes
  readonly http: Pick<HttpHandler, 'send'>
}): SendAgain {
  return async ({ route: name, event }, { attempt, isRedelivery, replay }, signal) => {
    const route = routes.all.find((one) => one.name === name)
    if (route === undefined) return { outcome: 'refused', reason: `the route table of the relay has no route ${name}` }
    const { url, variable } = placeOf(config, route)
    if (url === 'sqs')
      return { outcome: 'refused', reason: `${variable} sends this route to SQS, not to an HTTP server` }
    const { id } = JSON.parse(event) as { readonly id: string }
    const body = Buffer.from(`[${event}]`)
    const headers = {
      'content-type': CONTENT_TYPE,
      'ce-route': name,
      'ce-attempt': String(attempt),
      'ce-replay': replay.job,
      'ce-parked': replay.entry,
      ...(isRedelivery ? { 'ce-redelivery': 'true' } : {}),
      ...authorize(config.targets.access, { id: `${replay.job} ${id}`, timeMs: Date.now(), body }),
    }
    const request = { path: url.pathname + url.search, method: 'POST', headers, body }
    const limits = { signal, limitMs: route.timeoutSeconds * 1_000 + MARGIN_MS }
    try {
      const waits = readUnfinished(await http.send(url.origin, request, limits), [id])
      return waits.has(0) ? { outcome: 'retry', afterMs: waits.get(0) ?? AFTER_MS } : { outcome: 'done' }
    } catch (error) {
      const { verdict, reason } = explainTarget(error, { url, variable })
      if (verdict === 'refused') return { outcome: 'refused', reason: `the target answered ${reason}` }
      throw error
    }
  }
}
