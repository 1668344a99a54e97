import { hash } from 'node:crypto'
import { BATCH_TYPE } from '../../../protocol/index.ts'
import { RelayError } from '../../errors.ts'
import type { Item } from '../../item.ts'
import { readSecret } from '../../redis/address.ts'
import type { SenderOptions } from '../../sender/sender.ts'
import type { HttpHandler } from '../http-handler.ts'
import type { Parcel, Target } from '../target.ts'
import { explainTarget, nameOf, readOutcomes } from './http-verdict.ts'
import { variableOf, type TargetAccess } from './target-settings.ts'
import { decodeSecrets, signWebhook } from './webhook.ts'

export type HttpTargetOptions = Pick<SenderOptions, 'route'> & {
  readonly url: URL
  /** The variable that names the address. Default: that of the route. */
  readonly variable?: string
  readonly access: TargetAccess
  readonly http: Pick<HttpHandler, 'send'>
  /** Default: `Date.now`. */
  readonly now?: () => number
}

/**
 * The largest request (bytes), which serverless platforms take with their own head. One notification alone that is larger is parked.
 * Source: https://vercel.com/docs/functions/limitations (4.5 MB)
 */
const REQUEST_BYTES = 4 * 1024 * 1024

/** What the batch adds to packs at most: its brackets, and a comma behind each. */
const FRAME_BYTES = 16

/**
 * An HTTP server that takes batches of CloudEvents, and as a rule runs the functions before it answers. So a request may take as long as they
 * do, and an answer may settle a pack in part.
 */
export function createHttpTarget({
  url,
  route,
  variable = variableOf(route),
  access,
  http,
  now = Date.now,
}: HttpTargetOptions): Target {
  const place = { url, variable }
  const path = url.pathname + url.search
  const maxBytes = REQUEST_BYTES - FRAME_BYTES
  return {
    kind: 'http',
    name: nameOf(url),
    workMs: route.timeoutSeconds * 1_000,
    takesGzip: false,
    // Whether it is there shows when something is sent: every request may run functions, and is billed.
    find: () => Promise.resolve({ address: url.href, maxBytes }),
    async send(_to, parcels, signal, limitMs) {
      const items = parcels.flatMap(({ pack }) => pack.items)
      const body = formatBatch(items)
      const headers = {
        ...formatHeaders(parcels, items),
        'ce-route': route.name,
        ...authorize(access, { id: toId(items), timeMs: now(), body }),
      }
      const onStart = () => {
        for (const item of items) item.isRedelivery = true
      }
      const request = { path, method: 'POST', headers, body }
      return readOutcomes(await http.send(url.origin, request, { signal, limitMs, onStart }), parcels)
    },
    explain: (error) => explainTarget(error, place),
  }
}

/** The same for the same notifications. */
const toId = (items: readonly Item[]): string => hash('sha256', items.map(({ id }) => id).join('\n'), 'hex')

/** Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md, section 3.3 */
export const CONTENT_TYPE = `${BATCH_TYPE}; charset=utf-8`

const formatHeaders = ([first]: readonly Parcel[], items: readonly Item[]): Record<string, string> => ({
  'content-type': CONTENT_TYPE,
  'ce-attempt': String(first?.pack.attempt ?? 1),
  ...(items.some(({ isRedelivery }) => isRedelivery) ? { 'ce-redelivery': 'true' } : {}),
})

/** The headers that prove who sends this. @throws RelayError when a file cannot be read, or has no secret */
export function authorize(access: TargetAccess, signed: Parameters<typeof signWebhook>[1]): Record<string, string> {
  const secret = access.secretFile === undefined ? access.secret : readSecret(access.secretFile)
  const token = access.tokenFile === undefined ? access.token : readSecret(access.tokenFile)
  const keys = secret === undefined ? [] : decodeSecrets(secret)
  if (keys === undefined)
    throw new RelayError('relay.target.no_secret', `${access.secretFile} has no secret of Standard Webhooks`)
  return {
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(secret === undefined ? {} : signWebhook(keys, signed)),
  }
}

/** The events as a JSON array: packets go from the bytes that Redis sent straight into the request. */
function formatBatch(items: readonly Item[]): Buffer {
  const body = Buffer.allocUnsafeSlow(items.reduce((sum, { bytes }) => sum + bytes + 1, 1))
  let at = body.write('[')
  for (const [index, { head, data }] of items.entries()) {
    if (index > 0) at += body.write(',', at)
    at += body.write(head, at)
    if (data === undefined) continue
    body.set(data, at)
    at += data.length
    at += body.write('}', at)
  }
  at += body.write(']', at)
  return body.subarray(0, at)
}
