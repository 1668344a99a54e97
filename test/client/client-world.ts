import { createAdaptorServer } from '@hono/node-server'
import { agentStatus, type StoreWriter } from 'enigma-relay/store'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished } from 'vitest'
import { createClient, type ChangesOptions, type Client, type ClientOptions } from '../../src/client/index.ts'
import { notice, TOKEN, useApi } from '../api/api-world.ts'
import { useReservedPort } from '../support/reserved-port.ts'

export const OPERATOR = 'operate-token-of-the-test-of-32-characters'
export const MASKED = 'masked-token-of-the-test-of-32-characters'
const TOKENS = `jane:operate:${OPERATOR}\njoe:masked:${MASKED}`

const { poll } = expect

/** Waits until an expectation holds, for up to 30 s, since the machine may be busy. */
export const eventually = <T>(read: () => T | Promise<T>) => poll(read, { timeout: 30_000, interval: 10 })

/** The API over a real store, on a port on which it can be stopped and restarted. */
export async function useServedApi(options: Parameters<typeof useApi>[0] = {}) {
  const port = await useReservedPort()
  let commit: StoreWriter['commit'] = async () => undefined
  const replay = {
    commit: (batch: Parameters<StoreWriter['commit']>[0]) => commit(batch),
    sendStep: async () => undefined,
    sendCommand: async () => undefined,
    drain: async () => undefined,
  }
  const world = await useApi({ tokens: TOKENS, replay, ...options })
  commit = world.store.commit
  let server: Server
  const start = async () => {
    server = createAdaptorServer({ fetch: world.app.fetch, overrideGlobalObjects: false }) as Server
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  }
  const stop = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  await start()
  onTestFinished(stop)
  const url = `http://127.0.0.1:${port}`
  return {
    ...world,
    url,
    port,
    start,
    stop,
    /** Cuts every connection. */
    cut: () => server.closeAllConnections(),
    client: (own: Partial<ClientOptions> = {}) => createTestClient({ url, ...own }),
    /** Makes the agent with this reference busy. */
    change: (ref: string | number) =>
      world.commit(
        agentStatus(notice({ status: 'busy', campaign_ref: '7', ref: String(ref) }, { reference: String(ref) })),
      ),
  }
}

/** The same API after a first change, since the first change of an empty read model is a reset. */
export async function useChangingApi(options: Parameters<typeof useServedApi>[0] = {}) {
  const world = await useServedApi(options)
  await world.change('before')
  return world
}

/** A client with a short back-off, and the requests that it sent. */
export function createTestClient({ fetch: own = fetch, ...options }: Partial<ClientOptions> = {}) {
  const sent: { readonly url: string; readonly path: string; readonly init: RequestInit }[] = []
  const client = createClient({
    url: '',
    token: TOKEN,
    backoffMs: () => 5,
    ...options,
    fetch: (url, init) => {
      sent.push({ url, path: new URL(url).pathname, init })
      return own(url, init)
    },
  })
  return { ...client, sent, paths: () => new Set(sent.map(({ path }) => path)) }
}

/** A server that answers as the test decides. */
export async function useAnswers(answer: (request: IncomingMessage, response: ServerResponse, count: number) => void) {
  let count = 0
  const server = createServer((request, response) => answer(request, response, ++count)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, count: () => count }
}

/** Follows changes until the test ends, and records them. */
export function follow(client: Pick<Client, 'changes'>, options: ChangesOptions = {}) {
  const controller = new AbortController()
  const [refs, connections]: [string[], boolean[]] = [[], []]
  const seen = { refs, connections, resets: 0, cursor: '', problems: [] as (string | undefined)[] }
  const ended = (async () => {
    for await (const { changes, cursor, reset } of client.changes({
      pollMs: 10,
      signal: controller.signal,
      onConnection: (isConnected, problem) => {
        connections.push(isConnected)
        seen.problems.push(problem?.code)
      },
      ...options,
    })) {
      refs.push(...changes.map(({ ref }) => ref))
      seen.cursor = cursor
      if (reset) seen.resets++
    }
  })()
  // A test that awaits `ended` gets the rejection. In other tests it must not be unhandled.
  ended.catch(() => undefined)
  onTestFinished(() => controller.abort())
  return { seen, ended, stop: () => controller.abort() }
}
