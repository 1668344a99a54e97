import { SQSClient } from '@aws-sdk/client-sqs'
import type { RelayConfig } from './config.ts'

/** The SDK's client, with what the lanes need of it. `requestTimeout` in ms. */
export function createSqs(config: RelayConfig, requestTimeout: number): SQSClient {
  return new SQSClient({
    region: config.region,
    ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
    // A queue's address may name a host that only the server itself knows; the endpoint is where it was found.
    useQueueUrlAsEndpoint: false,
    // Retries are the lanes' business: they know the order.
    maxAttempts: 1,
    // The chain of middleware is the same for each request.
    cacheMiddleware: true,
    // TLS and the signature protect the body already.
    md5: false,
    requestHandler: {
      connectionTimeout: 3_000,
      requestTimeout,
      // Without this the SDK only warns, and a lane would wait for ever.
      throwOnRequestTimeout: true,
      httpAgent: { maxSockets: 64, keepAlive: true },
      httpsAgent: { maxSockets: 64, keepAlive: true },
    },
  })
}
