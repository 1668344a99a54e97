import type { SQSClientConfig } from '@aws-sdk/client-sqs'
import { defaultProvider } from '@aws-sdk/credential-provider-node'
import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto'
import type { Logger } from '../../../runtime/index.ts'
import { describe, statusOf } from '../../relay-error.ts'
import { isForCredentials } from './verdict.ts'

export type CredentialsOptions = {
  /** Sends requests to STS and SSO. */
  readonly requestHandler: NonNullable<SQSClientConfig['requestHandler']>
  readonly log: Logger | undefined
}

/** The shortest time (ms) between two resolutions of the chain while AWS does not accept the credentials: it may run a program or ask STS. */
const RENEW_MS = 2_000

/** The same while AWS denies access: new credentials may have the right, but usually do not. */
const DENIED_MS = 60_000

/**
 * Creates the SDK's standard chain of credential providers. By itself, the chain reads files once, and keeps credentials without an expiry until the
 * process ends. When AWS does not accept the credentials, this resolves the chain again, including files.
 */
export function createCredentials({ requestHandler, log }: CredentialsOptions) {
  const chain = defaultProvider({ ignoreCache: true, clientConfig: { requestHandler } })
  let renewedMs = Number.NEGATIVE_INFINITY
  let renewing: Promise<void> | undefined
  let keyId: string | undefined

  const provide = async (...args: Parameters<typeof chain>) => {
    const credentials = await chain(...args)
    keyId = credentials.accessKeyId
    return credentials
  }

  const renew = async (): Promise<void> => {
    const former = keyId
    try {
      const { accessKeyId } = await provide({ forceRefresh: true })
      // The chain may also have renewed them by itself, with the same key.
      if (accessKeyId !== former)
        log?.info(
          { code: 'relay.credentials.renewed' },
          'AWS did not accept the credentials; the relay resolved them again and uses the new ones',
        )
    } catch (error) {
      log?.debug(
        { code: 'relay.credentials.not_renewed', error: describe(error) },
        'AWS does not accept the credentials, and the relay has found no others yet',
      )
    }
  }

  return {
    /** The `credentials` of a client. `memoized` tells the SDK that the chain caches them itself. */
    provider: Object.assign(provide, { memoized: true }),
    /** Handles an error of AWS: resolves the credentials again if that may help. Call it with each error. Never throws. */
    async note(rejection: unknown): Promise<void> {
      const everyMs = isForCredentials(rejection) ? RENEW_MS : isDenied(rejection) ? DENIED_MS : undefined
      if (everyMs === undefined || performance.now() - renewedMs < everyMs) return
      renewedMs = performance.now()
      renewing ??= renew().finally(() => {
        renewing = undefined
      })
      await renewing
    },
  }
}

const isDenied = (error: unknown): boolean => [401, 403].includes(statusOf(error) ?? 0)

export type SignOptions = {
  readonly credentials: {
    readonly accessKeyId: string
    readonly secretAccessKey: string
    readonly sessionToken?: string | undefined
  }
  readonly region: string
  readonly service: string
  readonly path: string
  /** All headers to sign, names in lower case, including `host`. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  readonly timeMs: number
}

/** Encodes as RFC 3986 requires: `encodeURIComponent` leaves some reserved characters unchanged. */
const encode = (part: string): string =>
  encodeURIComponent(part).replace(/[!'()*]/g, (reserved) => `%${reserved.charCodeAt(0).toString(16).toUpperCase()}`)

const hmac = (key: string | Buffer | KeyObject, text: string): Buffer => createHmac('sha256', key).update(text).digest()

/** The last derived key. It is valid for a day. */
let derived: { readonly from: string; readonly key: KeyObject } | undefined

function deriveKey(secret: string, scope: string): KeyObject {
  const from = `${secret}\n${scope}`
  if (derived?.from !== from) {
    const key = scope.split('/').reduce<string | Buffer>(hmac, `AWS4${secret}`)
    derived = { from, key: createSecretKey(key as Buffer) }
  }
  return derived.key
}

/**
 * Signs a request with Signature Version 4. It supports one kind of request: POST to one path, without a query. Returns the headers to send: the
 * given ones, with date, token and signature. Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
export function sign(options: SignOptions): Record<string, string> {
  const { region, service, path, headers, body, timeMs } = options
  const { accessKeyId, secretAccessKey, sessionToken } = options.credentials
  const date = new Date(timeMs).toISOString().replace(/[-:]|\.\d+/g, '')
  const signed: Record<string, string> = {
    ...headers,
    'x-amz-date': date,
    // A credentials file may contain an empty token.
    ...(sessionToken ? { 'x-amz-security-token': sessionToken } : {}),
  }
  const names = Object.keys(signed).toSorted()
  const canonicalHeaders = names.map((name) => `${name}:${signed[name]?.trim().replace(/ +/g, ' ')}\n`).join('')
  // Each part is encoded once more than in the request, and empty parts are left out.
  const canonicalPath = path.replace(/\/+/g, '/').split('/').map(encode).join('/')
  const canonical = `POST\n${canonicalPath}\n\n${canonicalHeaders}\n${names.join(';')}\n${hash('sha256', body)}`
  const scope = `${date.slice(0, 8)}/${region}/${service}/aws4_request`
  const toSign = `AWS4-HMAC-SHA256\n${date}\n${scope}\n${hash('sha256', canonical)}`
  const signature = hmac(deriveKey(secretAccessKey, scope), toSign).toString('hex')
  signed['authorization'] =
    `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`
  return signed
}
