import { mkdir, rm } from 'node:fs/promises'
import { createClient } from 'redis'
import { startRedisServer, type RedisServer } from '../../src/local/servers.ts'
import { sleep } from '../../src/runtime/index.ts'
import { startProxy } from '../support/proxy.ts'

// Without fsync: what was answered is in the kernel's hands, and a SIGKILL of the server takes nothing from there.
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
 * The dialler's Redis, that can be ended and started again on its data or without. The relay reaches it by `proxy`, which makes
 * faults; the dialler, and whoever looks, by one that makes none and only follows it to its port.
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
      // On another port: somebody may have got the one that it had.
      server = await startRedisServer(options)
      for (const one of [proxy, plain]) one.retarget(server.port)
    },
    /** Shows what it holds on disk to `look`, by a server of its own, and then deletes it. To be called between `end` and `start`. */
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

/** Tries until it is done: the server may be away. */
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
