import { createApi } from 'enigma-relay/api'
import { apiOptions, handleUrl } from 'enigma-relay/lambda'

/** The read API. Add your own endpoints here; the same tokens protect them: `app.get('/pops', (c) => …)`. */
export const app = createApi(await apiOptions())

/** Handles requests to a Lambda function URL. */
export const handler = handleUrl(app)
