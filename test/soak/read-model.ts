import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { startRedisServer } from '../../src/local/servers.ts'
import { startUpstashProxy } from '../../src/local/upstash-proxy.ts'
import { createRandom } from '../../src/simulator/random.ts'
import type { Release } from '../../src/runtime/index.ts'
import { createStore } from '../../src/store/index.ts'

/** The present fault of Upstash. */
export type UpstashMode = 'well' | 'down' | 'slow' | '429' | '500' | 'lose' | 'hang'

/** The client aborts requests after this time. Some requests of the fault `slow` take longer. */
const TIMEOUT_MS = 700

/** Starts a read model on a separate Redis, behind an Upstash proxy with faults. */
export async function startReadModel(seed: number, release: Release) {
  const random = createRandom(seed)
  const redis = await startRedisServer()
  release(() => redis.stop())
  const upstash = await startUpstashProxy({ redisUrl: redis.url, token: 'soak' })
  release(() => upstash.stop())
  const state = { mode: 'well' as UpstashMode, requests: 0 }

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const { mode } = state
    state.requests++
    if (mode === 'down') return void response.destroy()
    const body = await buffer(request)
    if (mode === '429') {
      return void response
        .writeHead(429, { 'content-type': 'application/json' })
        .end(JSON.stringify({ error: 'ERR max requests limit exceeded. Too many requests' }))
    }
    if (mode === '500')
      return void response.writeHead(500, { 'content-type': 'text/html' }).end('<html>Internal Server Error</html>')
    if (mode === 'hang') return
    if (mode === 'slow') await sleep(random.between(50, 1_200))
    const { authorization = '', 'upstash-encoding': encoding } = request.headers
    const answer = await fetch(`${upstash.url}${request.url}`, {
      method: 'POST',
      body,
      headers: {
        authorization,
        'content-type': 'application/json',
        ...(encoding === undefined ? {} : { 'upstash-encoding': String(encoding) }),
      },
    })
    const text = await answer.text()
    if (mode === 'lose' && random.chance(0.5)) return void response.destroy()
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(text)
  }
  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  release(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { state, redisUrl: redis.url, store: createStore({ url, token: 'soak', timeoutMs: TIMEOUT_MS }) }
}

export type ReadModel = Awaited<ReturnType<typeof startReadModel>>
