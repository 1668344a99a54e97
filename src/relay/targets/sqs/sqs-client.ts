import { SQSClient, type SQSClientConfig } from '@aws-sdk/client-sqs'
import { defaultProvider } from '@aws-sdk/credential-provider-node'
import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto'
import type { Logger } from '../../../runtime/index.ts'
import type { RelayConfig } from '../../config.ts'
import { describe, statusOf } from '../../relay-error.ts'
import { createHttpHandler, onProxyOf, type HttpAnswer, type HttpHandler } from '../http-handler.ts'
import { isForCredentials } from './verdict.ts'

export type CredentialsOptions = {
  /** Sends requests to STS and SSO. */
  readonly requestHandler: NonNullable<SQSClientConfig['requestHandler']>
  readonly log: Logger | undefined
}

/** The shortest time (ms) between two resolutions of the chain while AWS does not accept the credentials: a program or STS may be behind it. */
const RENEW_MS = 2_000

/** The same while AWS denies access: other credentials may have it, but usually do not. */
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

export type SqsOptions = {
  /** How long (ms) a request may take when its caller sets no other limit. */
  readonly requestTimeoutMs: number
  /** Default 1: retries are the job of the lanes, which know the order. */
  readonly maxAttempts?: number
  readonly log?: Logger
}

/** Creates the SDK's client with the settings that the lanes need, and beside it the client of the hot path: `batches`. */
export function createSqs(config: RelayConfig, options: SqsOptions): SQSClient & { readonly batches: BatchClient } {
  const { requestTimeoutMs, maxAttempts = 1, log } = options
  const requestHandler = createHttpHandler({
    proxies: config.proxies,
    requestTimeoutMs,
    onProxy: onProxyOf(log),
  })
  const credentials = createCredentials({ requestHandler, log })
  const sqs = new SQSClient({
    region: config.region,
    credentials: credentials.provider,
    ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
    // A queue's address may name a host that only the server itself knows. The queue is reached at the endpoint where it was found.
    useQueueUrlAsEndpoint: false,
    maxAttempts,
    // The chain of middleware is the same for each request.
    cacheMiddleware: true,
    // TLS and the signature already protect the body.
    md5: false,
    requestHandler,
  })
  // Not awaited: a program behind the chain may take long, and the lanes retry meanwhile.
  const onRejected = (error: unknown) => void credentials.note(error)
  sqs.middlewareStack.add(
    (next) => (args) =>
      next(args).catch((error: unknown) => {
        onRejected(error)
        throw error
      }),
    { step: 'initialize', name: 'renewCredentials' },
  )
  return Object.assign(sqs, { batches: createBatchClient({ sqs, http: requestHandler, onRejected }) })
}

/** An entry that SQS did not accept. Some servers write null, or a number. */
export type BatchFailure = {
  readonly Id?: string
  readonly Code?: string | number | null
  readonly Message?: string | number | null
  readonly SenderFault?: boolean
}

export type BatchAnswer = {
  readonly Successful?: readonly { readonly Id?: string }[]
  readonly Failed?: readonly BatchFailure[]
}

/** An error that SQS, or a server on the way, answered. It has the form of the SDK's errors, so that both are judged alike. */
export class BatchError extends Error {
  override readonly name: string
  readonly code = 'relay.sqs.rejected'
  readonly $metadata: { readonly httpStatusCode: number }

  constructor(name: string, message: string, httpStatusCode: number, options?: ErrorOptions) {
    super(message, options)
    this.name = name
    this.$metadata = { httpStatusCode }
  }
}

export type BatchClientOptions = {
  /** Resolves endpoint, region and credentials, and knows the offset of the clock. */
  readonly sqs: SQSClient
  readonly http: Pick<HttpHandler, 'send'>
  readonly onRejected?: (error: unknown) => void
}

/** The result of the SDK's endpoint rules. */
type Endpoint = {
  readonly url: URL
  readonly properties?: { readonly authSchemes?: readonly Record<string, unknown>[] }
}

const TARGET = {
  'content-type': 'application/x-amz-json-1.0',
  'x-amz-target': 'AmazonSQS.SendMessageBatch',
  // SQS then sends error codes of the query protocol in a header. Some servers send them in no other way.
  'x-amzn-query-mode': 'true',
} as const

/** Servers write `com.amazonaws.sqs#Code:http://…`. */
const bareCode = (code: unknown): string | undefined =>
  typeof code === 'string' && code !== '' ? code.split(/[,:;]/, 1)[0]?.replace(/^.*#/, '') : undefined

/**
 * Creates the client of the hot path: it sends SendMessageBatch requests only, for a fraction of the SDK's cost, as AWS JSON 1.0 over undici, with
 * our own signature. Everything outside the hot path comes from the SDK: endpoints of every partition, the chain of credentials, the correction of
 * the clock. Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html
 */
export function createBatchClient({ sqs, http, onRejected }: BatchClientOptions) {
  let endpoint: Endpoint | undefined
  // The SDK resolves it for each of its own requests. Finding the queue is the first one.
  sqs.middlewareStack.add(
    (next, context) => (args) => {
      endpoint = (context['endpointV2'] as Endpoint | undefined) ?? endpoint
      return next(args)
    },
    { step: 'build' },
  )

  const regionOf = async (of: Endpoint): Promise<string> => {
    const region = of.properties?.authSchemes?.[0]?.['signingRegion']
    return typeof region === 'string' ? region : sqs.config.region()
  }

  /** Corrects the clock as the SDK does, so that the offset applies to both clients. */
  const correctClock = ({ headers: { date, age } }: HttpAnswer) => {
    const serverMs = Date.parse(date ?? '')
    if (age === undefined && !Number.isNaN(serverMs)) sqs.config.systemClockOffset = serverMs - Date.now()
  }

  const readAnswer = ({ statusCode: status, headers, body }: HttpAnswer): BatchAnswer => {
    let answer: Record<string, unknown>
    try {
      answer = (JSON.parse(body.toString() || '{}') ?? {}) as Record<string, unknown>
    } catch (cause) {
      throw new BatchError('SyntaxError', 'the answer is not JSON', status, { cause })
    }
    if (status >= 200 && status < 300) return answer
    const code =
      bareCode(headers['x-amzn-query-error']) ??
      bareCode(answer['code'] ?? answer['Code']) ??
      bareCode(headers['x-amzn-errortype']) ??
      bareCode(answer['__type'])
    const message = answer['message'] ?? answer['Message']
    throw new BatchError(code ?? 'Unknown', typeof message === 'string' ? message : 'UnknownError', status)
  }

  return {
    sqs,
    /**
     * Sends a body. @throws BatchError for an error that was answered, otherwise what credentials, proxy or connection throw; `TimeoutError` after
     * `limitMs`
     */
    async send(body: Uint8Array, signal: AbortSignal, limitMs: number): Promise<BatchAnswer> {
      const credentials = await sqs.config.credentials()
      // Nothing is sent before its queue was found.
      const to = endpoint as Endpoint
      const path = to.url.pathname.replace(/\/?$/, '/')
      const headers = sign({
        credentials,
        region: await regionOf(to),
        service: 'sqs',
        path,
        headers: { ...TARGET, host: to.url.host },
        body,
        timeMs: Date.now() + sqs.config.systemClockOffset,
      })
      const answer = await http.send(to.url.origin, { path, method: 'POST', headers, body }, { signal, limitMs })
      try {
        correctClock(answer)
        return readAnswer(answer)
      } catch (error) {
        onRejected?.(error)
        throw error
      }
    },
  }
}

export type BatchClient = ReturnType<typeof createBatchClient>
