import type { SQSClient } from '@aws-sdk/client-sqs'
import type { HttpHandler } from '../http-handler.ts'
import { sign } from './signature.ts'

/** Of an entry that SQS did not accept. Some servers write null, or a number. */
export type BatchFailure = {
  readonly Id?: string
  readonly Code?: string | number | null
  readonly Message?: string | number | null
  readonly SenderFault?: boolean
}

/** What SQS answers to SendMessageBatch. */
export type BatchAnswer = {
  readonly Successful?: readonly { readonly Id?: string }[]
  readonly Failed?: readonly BatchFailure[]
}

/** An error that SQS, or a server on the way, answered: of the form of the SDK's, so that both are judged alike. */
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
  /** Resolves endpoint, region and credentials, and knows how far the clock is wrong. */
  readonly sqs: SQSClient
  readonly http: Pick<HttpHandler, 'send'>
  /** Called with each error that was answered. */
  readonly onRejected?: (error: unknown) => void
}

/** What the SDK's endpoint rules say. */
type Endpoint = {
  readonly url: URL
  readonly properties?: { readonly authSchemes?: readonly Record<string, unknown>[] }
}

const TARGET = {
  'content-type': 'application/x-amz-json-1.0',
  'x-amz-target': 'AmazonSQS.SendMessageBatch',
  // Codes as the query protocol had them come in a header then; some servers say them in no other way.
  'x-amzn-query-mode': 'true',
} as const

/** Servers write `com.amazonaws.sqs#Code:http://…`. */
const bareCode = (code: unknown): string | undefined =>
  typeof code === 'string' && code !== '' ? code.split(/[,:;]/, 1)[0]?.replace(/^.*#/, '') : undefined

/**
 * Sends SendMessageBatch requests, and nothing else, for a fraction of what the SDK costs: AWS JSON 1.0 over undici, signed by hand. All
 * that is not on the hot path is the SDK's: endpoints of every partition, the chain of credentials, the correction of the clock.
 * Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html
 */
export function createBatchClient({ sqs, http, onRejected }: BatchClientOptions) {
  let endpoint: Endpoint | undefined
  // The SDK resolves it for each of its own requests: looking for the queue is the first one.
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

  /** As the SDK does it, so that what either learns counts for both. */
  const correctClock = ({ date, age }: Readonly<Record<string, string | undefined>>) => {
    const serverMs = Date.parse(date ?? '')
    if (age === undefined && !Number.isNaN(serverMs)) sqs.config.systemClockOffset = serverMs - Date.now()
  }

  const readAnswer = (
    status: number,
    headers: Readonly<Record<string, string | undefined>>,
    body: string,
  ): BatchAnswer => {
    let answer: Record<string, unknown>
    try {
      answer = (JSON.parse(body === '' ? '{}' : body) ?? {}) as Record<string, unknown>
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
     * @throws BatchError for what was answered, else what the credentials, the proxy or the connection throw; `TimeoutError` after `limitMs`
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
        correctClock(answer.headers)
        return readAnswer(answer.statusCode, answer.headers, answer.body.toString())
      } catch (error) {
        onRejected?.(error)
        throw error
      }
    },
  }
}

export type BatchClient = ReturnType<typeof createBatchClient>
