import { SQSClient } from '@aws-sdk/client-sqs'
import type { Logger } from '../../../runtime/index.ts'
import type { RelayConfig } from '../../config.ts'
import { createHttpHandler, onProxyOf, type HttpAnswer, type HttpHandler } from '../http-handler.ts'
import { createCredentials, sign } from './aws-credentials.ts'

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
  // Not awaited: the chain may run a program that takes long, and the lanes retry meanwhile.
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
  // The SDK resolves the endpoint for each of its own requests. The first one finds the queue.
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
