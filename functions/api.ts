import { handle } from 'hono/aws-lambda'
import { createApi } from './api/create-api.ts'
import { store } from './wiring.ts'

const token = process.env['API_TOKEN']?.trim()
// Thrown when the function starts, so that a deployment without a token shows at once, and never answers anybody.
if (token === undefined || token === '') {
  throw new Error(
    'API_TOKEN is not set: the read API shows personal data and does not start without a token. Set it to what `openssl rand -hex 32` prints.',
  )
}

/** The read API with the options of the environment: API_TOKEN, API_CORS_ORIGIN, UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN. */
export const app = createApi({ read: store().read, token, corsOrigin: process.env['API_CORS_ORIGIN'] ?? '' })

/** For a Lambda function URL. */
export const handler = handle(app)
