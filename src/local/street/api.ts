import { serve } from '@hono/node-server'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Release } from '../../runtime/index.ts'
import { freePort } from '../free-port.ts'
import { StreetError } from './errors.ts'
import type { App } from './functions.ts'

/** Serves an app, on another port when the wanted one is taken; resolves to its URL. @throws StreetError `no_address` */
export async function serveApi(app: App, at: { readonly host: string; readonly port: number }, release: Release): Promise<string> {
  const server = serve({ fetch: app.fetch, hostname: at.host, port: await freePort(at.port) })
  try {
    await once(server, 'listening')
  } catch (cause) {
    throw new StreetError('no_address', `the read API cannot be served on ${at.host}: set ENIGMA_API to an address of this machine`, { cause })
  }
  release(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        if ('closeAllConnections' in server) server.closeAllConnections()
      }),
  )
  return `http://${at.host}:${(server.address() as AddressInfo).port}`
}
