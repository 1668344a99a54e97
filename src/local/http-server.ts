import { createAdaptorServer } from '@hono/node-server'
import type { Hono } from 'hono'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { StreetError } from './street-error.ts'

/** Lets a server listen on a TCP port, or on any free one for 0; `stop` cuts its connections. Rejects when it cannot. */
export async function listen(server: Server, wanted = 0, host = '127.0.0.1') {
  server.listen(wanted, host)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `http://${host}:${port}`,
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** The same with a Hono app on 127.0.0.1. */
export const serveApp = ({ fetch }: Hono, port = 0) =>
  listen(createAdaptorServer({ fetch, overrideGlobalObjects: false }) as Server, port)

/** A TCP port on 127.0.0.1 that was free a moment ago; `wanted` itself when it is free. */
export async function freePort(wanted = 0): Promise<number> {
  try {
    const { port, stop } = await listen(createServer(), wanted)
    await stop()
    return port
  } catch (cause) {
    // Taken: ask for any.
    if (wanted !== 0) return freePort()
    throw new StreetError('dev.port.none_free', 'there is no free TCP port on 127.0.0.1', { cause })
  }
}
