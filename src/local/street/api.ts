import { createAdaptorServer } from '@hono/node-server'
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Release } from '../../runtime/index.ts'
import { freePort } from '../free-port.ts'
import { StreetError } from '../errors.ts'
import type { ApiApp } from './functions.ts'

type Place = { readonly host: string; readonly port: number }

/** Serves an app, on another port when the wanted one is taken; resolves to its URL. @throws StreetError `dev.api.no_address` */
export function serveApi(app: ApiApp, at: Place, release: Release): Promise<string> {
  return listen(createAdaptorServer({ fetch: app.fetch }) as Server, at, release)
}

/** The same with a server. @throws StreetError `dev.api.no_address` */
export async function listen(server: Server, at: Place, release: Release): Promise<string> {
  server.listen(await freePort(at.port), at.host)
  try {
    await once(server, 'listening')
  } catch (cause) {
    throw new StreetError(
      'dev.api.no_address',
      `the read API cannot be served on ${at.host}: set ENIGMA_API to an address of this machine`,
      { cause },
    )
  }
  release(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  )
  return `http://${at.host}:${(server.address() as AddressInfo).port}`
}
