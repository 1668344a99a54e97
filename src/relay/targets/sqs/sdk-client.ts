import { SQSClient } from '@aws-sdk/client-sqs'
import type { Logger } from '../../../runtime/index.ts'
import type { RelayConfig } from '../../config.ts'
import { createHttpHandler } from '../http-handler.ts'
import { createBatchClient, type BatchClient } from './batch-client.ts'
import { createCredentials } from './credentials.ts'

export type SqsOptions = {
  /** How long (ms) a request may take when its caller names no other limit. */
  readonly requestTimeoutMs: number
  /** Default 1: retries are the lanes' business, which know the order. */
  readonly maxAttempts?: number
  readonly log?: Logger
}

/** The SDK's client, with what the lanes need of it, and the client of the hot path beside it: `batches`. */
export function createSqs(config: RelayConfig, options: SqsOptions): SQSClient & { readonly batches: BatchClient } {
  const { requestTimeoutMs, maxAttempts = 1, log } = options
  const requestHandler = createHttpHandler({
    proxies: config.proxies,
    requestTimeoutMs,
    onProxy: (origin, { url }) =>
      log?.info({ code: 'relay.proxy.used', origin, proxy: url }, 'Requests to this address go through an HTTP proxy'),
  })
  const credentials = createCredentials({ requestHandler, log })
  const sqs = new SQSClient({
    region: config.region,
    credentials: credentials.provider,
    ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
    // A queue's address may name a host that only the server itself knows; the endpoint is where it was found.
    useQueueUrlAsEndpoint: false,
    maxAttempts,
    // The chain of middleware is the same for each request.
    cacheMiddleware: true,
    // TLS and the signature protect the body already.
    md5: false,
    requestHandler,
  })
  // Not waited for: a program behind the chain may take long, and the lanes try again meanwhile.
  const onRejected = (error: unknown) => void credentials.note(error)
  sqs.middlewareStack.add(
    (next) => async (args) => {
      try {
        return await next(args)
      } catch (error) {
        onRejected(error)
        throw error
      }
    },
    { step: 'initialize', name: 'renewCredentials' },
  )
  return Object.assign(sqs, { batches: createBatchClient({ sqs, http: requestHandler, onRejected }) })
}
