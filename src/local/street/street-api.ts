import { getRequestListener } from '@hono/node-server'
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { Hono } from 'hono'
import type { Server } from 'node:http'
import type { ApiEnv } from '../../api/auth.ts'
import {
  createLogin,
  createConsole,
  type ExchangeCode,
  type ConsoleFiles,
  type ConsoleTable,
} from '../../api/console-routes.ts'
import { answerError, logToConsole } from '../../api/problems.ts'
import type { Env, Release } from '../../runtime/index.ts'
import { freePort, listen, StreetError } from '../servers.ts'
import type { Settings } from './street.ts'

/*
 * The read API of a street and its console. A one-time code logs the user in. The files of the console are bundled from sources when
 * somebody opens it.
 */

const CODE_MS = 600_000

/** Creates a code that can be exchanged for the token once, within ten minutes. */
export function createLoginCode(token: string, now: () => number = Date.now) {
  const code = randomBytes(16).toString('hex')
  const untilMs = now() + CODE_MS
  let isUsed = false
  const digest = (text: string) => createHash('sha256').update(text).digest()
  const exchange: ExchangeCode = (given) => {
    const isRight = timingSafeEqual(digest(given), digest(code))
    if (!isRight || isUsed || now() > untilMs) return undefined
    isUsed = true
    return token
  }
  return { code, exchange }
}

/** The part of the build's result that is used here. */
type Bundled = { readonly table: ConsoleTable; readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>> }

/** Bundles the console from its sources at the first request, which takes about 200 ms. @param root of the repository */
export function bundledConsole(root: URL): ConsoleFiles {
  let bundled: Promise<Bundled> | undefined
  const bundle = async (): Promise<Bundled> => {
    try {
      // The path is computed, because the package's build compiles this folder but not infra.
      const { bundleConsole } = (await import(new URL('infra/build/bundle-console.ts', root).href)) as {
        readonly bundleConsole: (options: { readonly isForDelivery: boolean }) => Promise<Bundled>
      }
      return await bundleConsole({ isForDelivery: false })
    } catch (error) {
      // Somebody may be editing the sources: the next request tries again.
      bundled = undefined
      throw error
    } finally {
      // esbuild keeps a child process, which would outlive the street for a moment.
      await (await import('esbuild')).stop()
    }
  }
  const get = (): Promise<Bundled> => (bundled ??= bundle())
  return {
    table: async () => (await get()).table,
    read: async (name) => (await get()).files.get(name) ?? new Uint8Array(),
  }
}

/** Adds to the API of a street what a deployed API does not have: the login with a code, and the console from its sources. */
export function addConsole(api: Server, exchangeCode: ExchangeCode | undefined, files: ConsoleFiles | undefined): void {
  const front = new Hono<ApiEnv>()
  front.onError(answerError(logToConsole))
  if (files !== undefined) front.route('/', createConsole({ ...files, exchangeCode }))
  else if (exchangeCode !== undefined) front.route('/console/login', createLogin(exchangeCode))
  const isForFront = (path: string): boolean => {
    if (path === '/console/login') return files !== undefined || exchangeCode !== undefined
    return files !== undefined && /^\/(console(\/.*)?)?$/.test(path)
  }
  const answer = getRequestListener(front.fetch, { overrideGlobalObjects: false })
  const others = api.listeners('request') as ((...args: Parameters<typeof answer>) => void)[]
  api.removeAllListeners('request')
  api.on('request', (...args: Parameters<typeof answer>) => {
    const path = /^[^?#]*/.exec(args[0].url ?? '')?.[0] ?? ''
    if (isForFront(path)) void answer(...args)
    else for (const other of others) other(...args)
  })
}

/** Returns the token variables of the API. A token that the street created has the role operate, because only the user of this run sees it. */
export function toTokenVariables(settings: Settings, token: string, env: Env): Record<string, string> {
  const own = env['API_TOKENS'] ?? ''
  if (settings.token !== undefined) return { API_TOKEN: token, API_TOKENS: own }
  return { API_TOKEN: '', API_TOKENS: `${own}\ndev:operate:${token}` }
}

/** Serves the read API, on another port if the wanted one is in use. @throws StreetError `dev.api.no_address` */
export async function serveApi(server: Server, { api: { host, port } }: Settings, release: Release): Promise<string> {
  const { url, stop } = await listen(server, await freePort(port), host).catch((cause: unknown) => {
    throw new StreetError(
      'dev.api.no_address',
      `the read API cannot be served on ${host}: set ENIGMA_API to an address of this machine`,
      { cause },
    )
  })
  release(stop)
  return url
}

/** Asks the API how many notifications functions have parked. */
export async function countParked(apiUrl: string, token: string): Promise<number> {
  const response = await fetch(`${apiUrl}/parked?limit=1`, { headers: { authorization: `Bearer ${token}` } })
  const { functions } = (await response.json()) as { readonly functions?: { readonly total: number } }
  return functions?.total ?? 0
}
