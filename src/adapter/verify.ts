import { timingSafeEqual } from 'hono/utils/buffer'
import { fromBase64, toBytes } from '../protocol/index.ts'
import { AdapterError } from './adapter-error.ts'

/** One secret, several of them while one is replaced, or a function that returns them where they may change. */
export type Secrets = string | readonly string[] | (() => Promise<string | readonly string[]>)

/**
 * How `fromHttp` knows that a request is from somebody who may send it. `false`: it is known already, by a gateway or a network before it.
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
      /** How far (ms) the time of a request may be from the clock here. Default five minutes. */
      readonly toleranceMs?: number
      /** A larger body is refused with 413. Default 8 MiB. */
      readonly maxBodyBytes?: number
    }

/** A request that may go on, or why it may not. */
export type Verified = { readonly request: Request } | { readonly status: 401 | 413; readonly detail: string }

const TOLERANCE_MS = 5 * 60_000
const MAX_BODY_BYTES = 8 * 1024 * 1024

/** So many signatures of one request are looked at. */
const MAX_SIGNATURES = 16

/**
 * Returns the check of a request. It reads only the raw bytes of the body, and passes on a request with the same bytes.
 *
 * @throws AdapterError `adapter.verify.invalid` when a secret can never fit; of secrets that may change, the check rejects with it
 */
export function createVerify(verify: Verify, now: () => number): (request: Request) => Promise<Verified> {
  if (verify === false) return (request) => Promise.resolve({ request })
  // Whoever writes no TypeScript may leave it out.
  const given: { bearer?: Secrets; webhook?: Secrets } & Partial<Limits> = verify ?? {}
  const { bearer, webhook, toleranceMs = TOLERANCE_MS, maxBodyBytes = MAX_BODY_BYTES } = given
  if (bearer !== undefined) return checkBearer(sourceOf(bearer, (token) => token))
  if (webhook !== undefined) return checkWebhook(sourceOf(webhook, toKey), { toleranceMs, maxBodyBytes }, now)
  throw invalid(
    'fromHttp needs `verify`: { bearer: … }, { webhook: … }, or false if a gateway in front of it authenticates senders',
  )
}

const invalid = (message: string) => new AdapterError('adapter.verify.invalid', message)

/** What is made of the secrets, each once. Of a text that cannot change, at once. */
function sourceOf<Made>(secrets: Secrets, make: (secret: string) => Made): () => Promise<readonly Made[]> {
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
    // All of them, also behind the one that fits.
    const fits = await Promise.all((await tokens()).map((token) => timingSafeEqual(token, given)))
    return fits.includes(true) ? { request } : refuse('The bearer token is not valid.')
  }
}

const refuse = (detail: string): Verified => ({ status: 401, detail })

type Key = ReturnType<typeof crypto.subtle.importKey>
type Limits = { readonly toleranceMs: number; readonly maxBodyBytes: number }

function toKey(secret: string): Key {
  const bytes = decode(secret.replace(/^whsec_/, ''))
  if (bytes === undefined || bytes.length === 0) throw invalid('a webhook secret must be `whsec_` followed by base64')
  return crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['verify'])
}

function checkWebhook(keys: () => Promise<readonly Key[]>, { toleranceMs, maxBodyBytes }: Limits, now: () => number) {
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
    const fits = await Promise.all(
      pairs.map(async ({ key, signature }) => crypto.subtle.verify('HMAC', key, signature, signed)),
    )
    if (!fits.includes(true)) return refuse('No signature in webhook-signature matches this body.')
    const { url, method, headers } = request
    const hasNone = method === 'GET' || method === 'HEAD'
    // Of its parts: the request of a server may be of a class that the constructor does not take.
    return { request: hasNone ? request : new Request(url, { method, headers, body }) }
  }
}

/** Undefined: longer than that. */
async function readBytes(request: Request, most: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of request.body ?? []) {
    length += chunk.length
    if (length > most) return undefined
    chunks.push(chunk)
  }
  return join(chunks)
}

const join = async (chunks: readonly Uint8Array[]): Promise<Uint8Array<ArrayBuffer>> =>
  new Uint8Array(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer())

/** Undefined: it is none. */
function decode(base64: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return fromBase64(base64)
  } catch {
    return undefined
  }
}
