import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto'

/**
 * Signature version 4 for requests of one kind: POST to one path, without a query.
 * Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */

export type SigningKey = {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
}

export type SignOptions = {
  readonly credentials: SigningKey
  readonly region: string
  readonly service: string
  readonly path: string
  /** All headers to be signed, names in lower case; `host` among them. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  readonly timeMs: number
}

/** As RFC 3986 asks for: `encodeURIComponent` leaves some reserved characters as they are. */
const encode = (part: string): string =>
  encodeURIComponent(part).replace(/[!'()*]/g, (reserved) => `%${reserved.charCodeAt(0).toString(16).toUpperCase()}`)

const hmac = (key: string | Buffer | KeyObject, text: string): Buffer => createHmac('sha256', key).update(text).digest()

/** The last key that was derived: it holds for a day. */
let derived: { readonly from: string; readonly key: KeyObject } | undefined

function deriveKey(secret: string, scope: string): KeyObject {
  const from = `${secret}\n${scope}`
  if (derived?.from !== from) {
    const key = scope.split('/').reduce<string | Buffer>(hmac, `AWS4${secret}`)
    derived = { from, key: createSecretKey(key as Buffer) }
  }
  return derived.key
}

/** The headers to be sent: those given, with date, token and signature. */
export function sign({
  credentials,
  region,
  service,
  path,
  headers,
  body,
  timeMs,
}: SignOptions): Record<string, string> {
  const { accessKeyId, secretAccessKey, sessionToken } = credentials
  const date = new Date(timeMs).toISOString().replace(/[-:]|\.\d+/g, '')
  const signed: Record<string, string> = {
    ...headers,
    'x-amz-date': date,
    // A credentials file may have an empty one.
    ...(sessionToken ? { 'x-amz-security-token': sessionToken } : {}),
  }
  const names = Object.keys(signed).toSorted()
  const canonicalHeaders = names.map((name) => `${name}:${signed[name]?.trim().replace(/ +/g, ' ')}\n`).join('')
  // Each part is encoded once more than it is in the request, and empty ones do not count.
  const canonicalPath = path.replace(/\/+/g, '/').split('/').map(encode).join('/')
  const canonical = `POST\n${canonicalPath}\n\n${canonicalHeaders}\n${names.join(';')}\n${hash('sha256', body)}`
  const scope = `${date.slice(0, 8)}/${region}/${service}/aws4_request`
  const toSign = `AWS4-HMAC-SHA256\n${date}\n${scope}\n${hash('sha256', canonical)}`
  const signature = hmac(deriveKey(secretAccessKey, scope), toSign).toString('hex')
  signed['authorization'] =
    `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`
  return signed
}
