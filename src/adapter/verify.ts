import { timingSafeEqual } from 'hono/utils/buffer'
import { fromBase64, toBytes } from '../protocol/index.ts'
import { AdapterError } from './adapter-error.ts'

/** One secret, several secrets during a rotation, or a function that returns secrets that may change. */
export type Secrets = string | readonly string[] | (() => Promise<string | readonly string[]>)

/**
 * How `fromHttp` authenticates the sender of a request. `false`: a gateway or network in front of it already does.
 *
 * @example { bearer: process.env.PUSH_TOKEN }
 * @example { webhook: 'whsec_…' }
 */
export type Verify =
  | false
  /** `Authorization: Bearer <token>` */
  | { readonly bearer: Secrets }
  /**
   * A signature over the raw bytes: the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`. Secrets are `whsec_` and base64.
   * Source: https://www.standardwebhooks.com
   */
  | {
      readonly webhook: Secrets
      /** The maximum difference (ms) between the time of a request and the clock of the server. Default five minutes. */
      readonly toleranceMs?: number
      /** A larger body is rejected with status 413. Default 8 MiB. */
      readonly maxBodyBytes?: number
    }

/** An authenticated request, or the reason for rejecting it. */
export type Verified = { readonly request: Request } | { readonly status: 401 | 413; readonly detail: string }

const TOLERANCE_MS = 5 * 60_000
const MAX_BODY_BYTES = 8 * 1024 * 1024

/** The maximum number of signatures of a request that are checked. */
const MAX_SIGNATURES = 16

/**
 * Returns a function that authenticates a request. It reads only the raw bytes of the body, and returns a request with the same bytes.
 *
 * @throws AdapterError `adapter.verify.invalid` if a secret is malformed. If secrets come from a function, the returned check rejects with this error instead
 */
export function createVerify(verify: Verify, now: () => number): (request: Request) => Promise<Verified> {
  if (verify === false) return (request) => Promise.resolve({ request })
  // JavaScript callers may omit it.
  const given: { bearer?: Secrets; webhook?: Secrets } & Partial<WebhookLimits> = verify ?? {}
  const { bearer, webhook, toleranceMs = TOLERANCE_MS, maxBodyBytes = MAX_BODY_BYTES } = given
  if (bearer !== undefined) return checkBearer(convertSecrets(bearer, (token) => token))
  if (webhook !== undefined)
    return checkWebhook(convertSecrets(webhook, importSecret), { toleranceMs, maxBodyBytes }, now)
  throw invalid(
    'fromHttp needs `verify`: { bearer: … }, { webhook: … }, or false if a gateway in front of it authenticates senders',
  )
}

const invalid = (message: string) => new AdapterError('adapter.verify.invalid', message)

/** Returns a function that converts each secret once. Constant secrets are converted immediately, so that a malformed one is reported early. */
function convertSecrets<Made>(secrets: Secrets, make: (secret: string) => Made): () => Promise<readonly Made[]> {
  let made = new Map<string, Made>()
  const makeAll = (texts: string | readonly string[]): readonly Made[] => {
    const trimmed = [texts].flat().map((text) => text.trim())
    if (trimmed.length === 0 || trimmed.includes('')) throw invalid('`verify` has no secret, or an empty one')
    made = new Map(trimmed.map((text) => [text, made.get(text) ?? make(text)]))
    return [...made.values()]
  }
  if (typeof secrets === 'function') return async () => makeAll(await secrets())
  const all = makeAll(secrets)
  return () => Promise.resolve(all)
}

function checkBearer(tokens: () => Promise<readonly string[]>) {
  return async (request: Request): Promise<Verified> => {
    const [, given] = /^Bearer +(\S+)$/i.exec(request.headers.get('authorization') ?? '') ?? []
    if (given === undefined) return refuse('Send the header Authorization: Bearer <token>.')
    // All tokens are compared, even after a match, so that the time does not depend on which one matches.
    const matches = await Promise.all((await tokens()).map((token) => timingSafeEqual(token, given)))
    return matches.includes(true) ? { request } : refuse('The bearer token is not valid.')
  }
}

const refuse = (detail: string): Verified => ({ status: 401, detail })

type HmacKey = ReturnType<typeof crypto.subtle.importKey>
type WebhookLimits = { readonly toleranceMs: number; readonly maxBodyBytes: number }

function importSecret(secret: string): HmacKey {
  const bytes = decode(secret.replace(/^whsec_/, ''))
  if (bytes === undefined || bytes.length === 0) throw invalid('a webhook secret must be `whsec_` followed by base64')
  return crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['verify'])
}

function checkWebhook(
  keys: () => Promise<readonly HmacKey[]>,
  { toleranceMs, maxBodyBytes }: WebhookLimits,
  now: () => number,
) {
  return async (request: Request): Promise<Verified> => {
    const [id, timestamp, signatures] = ['id', 'timestamp', 'signature'].map(
      (name) => request.headers.get(`webhook-${name}`) ?? '',
    )
    if (id === '' || timestamp === '' || signatures === '')
      return refuse('Send the headers webhook-id, webhook-timestamp and webhook-signature.')
    if (!/^\d{1,12}$/.test(timestamp as string) || Math.abs(now() - Number(timestamp) * 1000) > toleranceMs)
      return refuse(
        `webhook-timestamp must be a time in Unix seconds within ${toleranceMs / 1000} s of the server's clock.`,
      )
    const given = (signatures as string)
      .split(' ')
      .slice(0, MAX_SIGNATURES)
      .flatMap((one) => (one.startsWith('v1,') ? (decode(one.slice(3)) ?? []) : []))
    const body = await readBytes(request, maxBodyBytes)
    if (body === undefined) return { status: 413, detail: `The body has more than ${maxBodyBytes} bytes.` }
    const signed = await join([toBytes(`${id}.${timestamp}.`), body])
    const pairs = (await Promise.all(await keys())).flatMap((key) => given.map((signature) => ({ key, signature })))
    const matches = await Promise.all(
      pairs.map(async ({ key, signature }) => crypto.subtle.verify('HMAC', key, signature, signed)),
    )
    if (!matches.includes(true)) return refuse('No signature in webhook-signature matches this body.')
    const { url, method, headers } = request
    const hasNoBody = method === 'GET' || method === 'HEAD'
    // Built from its parts, because a server's request may be of a class that the constructor does not accept.
    return { request: hasNoBody ? request : new Request(url, { method, headers, body }) }
  }
}

/** Reads a body. Returns undefined if it is longer than `maxBytes`. */
async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of request.body ?? []) {
    length += chunk.length
    if (length > maxBytes) return undefined
    chunks.push(chunk)
  }
  return join(chunks)
}

const join = async (chunks: readonly Uint8Array[]): Promise<Uint8Array<ArrayBuffer>> =>
  new Uint8Array(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer())

/** Decodes base64. Returns undefined if the text is not base64. */
function decode(base64: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return fromBase64(base64)
  } catch {
    return undefined
  }
}
