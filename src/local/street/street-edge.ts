import { createAdaptorServer } from '@hono/node-server'
import { randomBytes } from 'node:crypto'
import type { Server } from 'node:http'
import { fileURLToPath } from 'node:url'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { Fault } from '../../lambda/faults.ts'
import { appFile } from '../../lambda/declarations.ts'
import { OTHER, parseEvents, RELAY_TYPE, type HttpOutcome, type Route, type Routes } from '../../protocol/index.ts'
import type { Env } from '../../runtime/index.ts'
import { StreetError, wordsOf } from '../street-error.ts'
import type { Watch } from './street-figures.ts'
import type { Ground } from './street-functions.ts'

/* The street without SQS and Lambda: functions and API run on workerd, the runtime of Cloudflare Workers. */

type EdgeGround = Omit<Ground, 'queues'> & {
  /** The clone. `root` is the folder that contains `functions/`. */
  readonly clone: URL
  readonly root: URL
  readonly faults: readonly Fault[]
  readonly watch: Watch
}

/** The same date as in examples/cloudflare/wrangler.jsonc. */
const COMPATIBILITY_DATE = '2026-07-30'

/** Starts workerd, behind a server that counts the answers of functions. `toTarget` returns the variables of the relay. @throws StreetError `dev.functions.invalid` */
export async function loadEdge({ env, declared, routes, access, release, clone, root, faults, watch }: EdgeGround) {
  const secret = `whsec_${randomBytes(32).toString('base64')}`
  const token = randomBytes(20).toString('hex')
  const script = await bundleWorker(formatWorker(routes, root, faults), clone)
  const texts = Object.entries({ ...Object.assign({}, ...declared.map(({ variables }) => variables)), ...env } as Env)
  const { Miniflare } = await import('miniflare')
  const worker = new Miniflare({
    modules: [{ type: 'ESModule', path: 'worker.js', contents: script }],
    compatibilityDate: COMPATIBILITY_DATE,
    host: '127.0.0.1',
    port: 0,
    bindings: {
      ...Object.fromEntries(texts.flatMap(([name, text]) => (text === undefined ? [] : [[name, text]]))),
      ...access,
      // The relay drives replays through the API.
      API_TOKENS: `${access['API_TOKENS'] ?? ''}\nrelay:operate:${token}`,
      ENIGMA_TARGET_SECRET: secret,
    },
    // console.log goes through the view, like the output of functions in this process.
    handleRuntimeStdio: (stdout: Readable, stderr: Readable) => {
      for (const input of [stdout, stderr]) createInterface({ input }).on('line', (line) => console.log(line))
    },
  })
  release(() => worker.dispose())
  const origin = (await worker.ready).origin
  const api = createAdaptorServer({ fetch: (request) => pass(request, origin, routes, watch) }) as Server
  const toTarget = (apiUrl: string): Env => ({
    ENIGMA_TARGET: `${apiUrl}/notifications`,
    ENIGMA_TARGET_SECRET: secret,
    ENIGMA_API_URL: apiUrl,
    ENIGMA_API_TOKEN: token,
  })
  // Its type comes from Cloudflare's types, which are not installed.
  const handlers = (await worker.getWorker()) as unknown as { readonly scheduled: () => Promise<unknown> }
  return { api, toTarget, maintain: () => handlers.scheduled() }
}

/** Formats the source of a Worker like examples/cloudflare, with the functions of a folder and simulated faults. */
function formatWorker({ all }: Routes, root: URL, faults: readonly Fault[]): string {
  const own = all.filter(({ type, name }) => type !== RELAY_TYPE && name !== OTHER.name)
  const hosted = [...own, OTHER]
  const file = (route: Route) => JSON.stringify(fileURLToPath(new URL(appFile(route), root)))
  const isOther = (route: Route) => route === OTHER
  return `
import { createEdge } from './src/edge/index.ts'
import { withFaults } from './src/lambda/faults.ts'
${hosted.map((route, at) => `import * as f${at} from ${file(route)}`).join('\n')}
const faults = ${JSON.stringify(JSON.stringify(faults))}
const host = ({ app, route }, name) => ({ app: withFaults(app, { name }, faults), ...(route && { route: { ...route, name } }) })
const worker = createEdge({ functions: [${hosted.map((route, at) => `host(${isOther(route) ? `{ app: f${at}.app }` : `f${at}`}, '${route.name}')`).join(', ')}] })
export { worker as default }
`
}

async function bundleWorker(contents: string, clone: URL): Promise<string> {
  try {
    // The path is computed, because the package's build compiles this folder but not infra.
    const { bundleEdge } = (await import(new URL('infra/build/bundle.ts', clone).href)) as {
      readonly bundleEdge: (entry: { readonly contents: string }) => Promise<string>
    }
    return await bundleEdge({ contents })
  } catch (cause) {
    throw new StreetError('dev.functions.invalid', `the functions cannot be bundled: ${wordsOf(cause)}`, { cause })
  } finally {
    // esbuild keeps a child process.
    await (await import('esbuild')).stop()
  }
}

/** Passes a request on to workerd, and its answer back. */
async function pass(request: Request, origin: string, routes: Routes, watch: Watch): Promise<Response> {
  const { pathname, search } = new URL(request.url)
  const headers = new Headers(request.headers)
  // These headers belong to the connection.
  for (const name of ['host', 'connection', 'transfer-encoding', 'content-length']) headers.delete(name)
  const body = request.method === 'GET' || request.method === 'HEAD' ? null : await request.arrayBuffer()
  const { signal, method } = request
  const answer = await fetch(origin + pathname + search, { method, headers, body, signal, redirect: 'manual' })
  const route = routes.all.find(({ name }) => name === headers.get('ce-route'))
  const own = new Headers(answer.headers)
  // fetch has already decompressed the body.
  for (const name of ['content-encoding', 'content-length', 'transfer-encoding']) own.delete(name)
  if (pathname !== '/notifications' || answer.status !== 200 || body === null || route === undefined)
    return new Response(answer.body, { status: answer.status, headers: own })
  const text = await answer.text()
  const { outcomes } = JSON.parse(text) as { readonly outcomes: readonly HttpOutcome[] }
  watch.noteBatch(route, parseEvents(new TextDecoder().decode(body)), outcomes)
  return new Response(text, { headers: own })
}
