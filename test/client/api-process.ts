import { createStore } from 'enigma-relay/store'
import { createApi } from '../../src/api/index.ts'
import { serveApp } from '../../src/local/servers.ts'

/** The API as a separate process that a test can kill. */
const { STORE = '', PORT = '', API_TOKEN = '' } = process.env
const { read } = createStore({ url: STORE, token: 'store-token' })
await serveApp(createApi({ read, token: API_TOKEN, events: { pollMs: 5 } }) as never, Number(PORT))
process.stdout.write('listening\n')
