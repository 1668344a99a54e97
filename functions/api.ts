import { handle, streamHandle } from 'hono/aws-lambda'
import { checkToken } from './api/auth.ts'
import { createApi } from './api/create-api.ts'
import { createDeadLetters } from './api/dead-letters/dead-letters.ts'
import { setting, sqs, store } from './wiring.ts'

// Thrown when the function starts, so that a deployment without a token shows at once, and never answers anybody. One in Parameter
// Store is on its way, and looked at by each request.
const token =
  process.env['API_TOKEN_PARAMETER'] === undefined ? checkToken(await setting('API_TOKEN')) : () => setting('API_TOKEN')

// Which queues there are for `GET /parked`; without it, that is answered without what the functions put aside.
const prefix = process.env['ENIGMA_QUEUE_PREFIX']?.trim() ?? ''

/**
 * The read API with the options of the environment: API_TOKEN, API_CORS_ORIGIN, ENIGMA_QUEUE_PREFIX, UPSTASH_REDIS_REST_URL and
 * UPSTASH_REDIS_REST_TOKEN.
 */
export const app = createApi({
  read: store().read,
  token,
  corsOrigin: process.env['API_CORS_ORIGIN'] ?? '',
  deadLetters: prefix === '' ? undefined : createDeadLetters({ prefix, connect: sqs }),
})

const { awslambda } = globalThis as { readonly awslambda?: { readonly streamifyResponse?: unknown } }

/** For a Lambda function URL: streams its answers where the runtime can, as a URL with `invokeMode: RESPONSE_STREAM` wants it. */
export const handler = (awslambda?.streamifyResponse === undefined ? handle(app) : streamHandle(app)) as ReturnType<
  typeof handle
>
