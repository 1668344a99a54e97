import { createHmac, hash } from 'node:crypto'
import { BATCH_TYPE } from '../../../protocol/index.ts'
import type { Item } from '../../item.ts'
import { readSecret } from '../../redis/address.ts'
import { RelayError } from '../../relay-error.ts'
import type { SenderOptions } from '../../sender/sender.ts'
import type { HttpHandler } from '../http-handler.ts'
import type { Parcel, Target } from '../target.ts'
import { explainTarget, nameOf, readOutcomes } from './http-verdict.ts'
import { decodeSecrets, variableOf, type TargetAccess } from './target-settings.ts'

/** The signed parts of a message: the id that a repeated message keeps, when it is sent (ms), and its raw bytes. */
export type Signed = { readonly id: string; readonly timeMs: number; readonly body: Uint8Array }

/** Returns the headers of Standard Webhooks, with a signature for each key: while a secret is replaced, the server may know either. */
export function signWebhook(keys: readonly Buffer[], { id, timeMs, body }: Signed): Record<string, string> {
  const timestamp = String(Math.floor(timeMs / 1000))
  const signatures = keys.map(
    (key) => `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64')}`,
  )
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') }
}

export type HttpTargetOptions = Pick<SenderOptions, 'route'> & {
  readonly url: URL
  /** The variable that contains the address. Default: that of the route. */
  readonly variable?: string
  readonly access: TargetAccess
  readonly http: Pick<HttpHandler, 'send'>
  /** How long (s) the server may work on a request. Default: `timeoutSeconds` of the route. */
  readonly timeoutSeconds?: number | undefined
  /** Default: `Date.now`. */
  readonly now?: () => number
}

/**
 * The largest request (bytes): serverless platforms accept it together with its head. One notification alone that is larger is parked. Source:
 * https://vercel.com/docs/functions/limitations (4.5 MB)
 */
const MAX_REQUEST_BYTES = 4 * 1024 * 1024

/** The maximum number of bytes that the batch adds to packs: its brackets, and a comma after each pack. */
const MAX_FRAME_BYTES = 16

/**
 * Creates a target for an HTTP server that accepts batches of CloudEvents. It usually runs the functions before it answers, so a request may take as
 * long as they do, and an answer may settle a pack in part.
 */
export function createHttpTarget({
  url,
  route,
  timeoutSeconds = route.timeoutSeconds,
  variable = variableOf(route),
  access,
  http,
  now = Date.now,
}: HttpTargetOptions): Target {
  const address = { url, variable }
  const path = url.pathname + url.search
  const maxBytes = MAX_REQUEST_BYTES - MAX_FRAME_BYTES
  return {
    kind: 'http',
    name: nameOf(url),
    workMs: timeoutSeconds * 1_000,
    takesGzip: false,
    // Sending shows whether the server is there. A probe would cost money, because every request may run functions.
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
    explain: (error) => explainTarget(error, address),
  }
}

/** Returns the id of a request. Requests with the same notifications have the same id. */
const toId = (items: readonly Item[]): string => hash('sha256', items.map(({ id }) => id).join('\n'), 'hex')

/** Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md, section 3.3 */
export const CONTENT_TYPE = `${BATCH_TYPE}; charset=utf-8`

const formatHeaders = ([first]: readonly Parcel[], items: readonly Item[]): Record<string, string> => ({
  'content-type': CONTENT_TYPE,
  'ce-attempt': String(first?.pack.attempt ?? 1),
  ...(items.some(({ isRedelivery }) => isRedelivery) ? { 'ce-redelivery': 'true' } : {}),
})

/** Returns the headers that authenticate the sender. @throws RelayError when a file cannot be read, or contains no secret */
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

/** Formats the events as a JSON array. The bytes of packets are copied unchanged from Redis into the request. */
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
