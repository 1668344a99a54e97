import { mkdir, rm } from 'node:fs/promises'
import { createClient } from 'redis'
import { startRedisServer, type RedisServer } from '../../src/local/servers.ts'
import { sleep } from '../../src/runtime/index.ts'
import { startProxy } from '../support/proxy.ts'

// No fsync is needed: the kernel keeps written data when the server is killed with SIGKILL.
const ARGS = ['--appendfsync', 'no']

export type DiallerRedis = Awaited<ReturnType<typeof startDiallerRedis>>
export type DiallerClient = ReturnType<typeof createDiallerClient>

const createDiallerClient = (port: number) => {
  const client = createClient({
    url: `redis://127.0.0.1:${port}`,
    RESP: 2,
    disableOfflineQueue: true,
    socket: { reconnectStrategy: () => 20 },
  })
  client.on('error', () => undefined)
  return client
}

/**
 * Starts the dialler's Redis, which can be stopped and restarted with its data or empty. The relay connects through `proxy`, which makes
 * faults. The dialler and the checks connect through a second proxy without faults, which follows the server to its new port.
 */
export async function startDiallerRedis(dataDir: string) {
  const options = { dataDir, args: ARGS }
  let server: RedisServer = await startRedisServer(options)
  const [proxy, plain] = [await startProxy(server.port), await startProxy(server.port)]
  const clients: DiallerClient[] = []

  const end = async (signal: NodeJS.Signals) => {
    const exited = new Promise((resolve) => server.process.once('exit', resolve))
    server.process.kill(signal)
    await exited
  }
  return {
    proxy,
    connect: async (): Promise<DiallerClient> => {
      const client = createDiallerClient(plain.port)
      clients.push(client)
      await client.connect()
      return client
    },
    end,
    start: async (): Promise<void> => {
      // On another port: another process may use the previous one by now.
      server = await startRedisServer(options)
      for (const one of [proxy, plain]) one.retarget(server.port)
    },
    /** Passes a client to `look` that reads the data on disk, then deletes the data. Call it between `end` and `start`. */
    empty: async (look: (client: DiallerClient) => Promise<void>): Promise<void> => {
      const other = await startRedisServer(options)
      try {
        const client = createDiallerClient(other.port)
        await client.connect()
        await look(client)
        client.destroy()
      } finally {
        other.process.kill('SIGKILL')
        await other.stop()
      }
      await rm(dataDir, { recursive: true, force: true })
      await mkdir(dataDir)
    },
    stop: async (): Promise<void> => {
      for (const client of clients) client.destroy()
      await proxy.stop()
      await plain.stop()
      await server.stop()
    },
  }
}

/** Retries until `what` succeeds or the signal aborts, because the server may be down. */
export async function insist<T>(signal: AbortSignal, what: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await what()
    } catch (error) {
      if (signal.aborted) throw error
      await sleep(50, signal)
    }
  }
}
