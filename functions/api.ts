import { createApi } from 'enigma-relay/api'
import { apiOptions, handleUrl } from 'enigma-relay/lambda'

/** The read API. Endpoints of your own go here, behind the same tokens: `app.get('/pops', (c) => …)`. */
export const app = createApi(await apiOptions())

/** For a Lambda function URL. */
export const handler = handleUrl(app)
