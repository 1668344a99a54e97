import { createAdaptorServer } from '@hono/node-server'
import { randomBytes } from 'node:crypto'
import type { Hono } from 'hono'
import type { Server } from 'node:http'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { App } from '../../adapter/index.ts'
import { appFile, readDeclarations } from '../../lambda/declarations.ts'
import type { Fault } from '../../lambda/faults.ts'
import {
  OTHER,
  parseEvents,
  RELAY_TYPE,
  type DeclaredRoute,
  type Route,
  type Routes,
  type HttpOutcome,
} from '../../protocol/index.ts'
import type { Logger, Release, Env } from '../../runtime/index.ts'
import { FunctionsError } from '../../settings/index.ts'
import { createLambdaTrigger, type Invocation, type LambdaHandler } from '../lambda/lambda-trigger.ts'
import { LOCAL_AWS, type Queues } from '../local-aws.ts'
import { StreetError, wordsOf } from '../servers.ts'
import type { Watch } from './street-figures.ts'
import type { Settings } from './street.ts'

/** The parts and settings that functions need. */
export type Ground = {
  /** `process.env`. */
  readonly env: Record<string, string | undefined>
  readonly settings: Settings
  readonly declared: readonly DeclaredRoute[]
  readonly routes: Routes
  readonly queues: Queues
  /** The variables that give access to the read model and the API. */
  readonly access: Readonly<Record<string, string>>
  readonly folder: string
  readonly release: Release
}

/** The handlers behind the queues, and the server of the read API, which does not listen yet. */
export type Loaded = { readonly handlers: ReadonlyMap<Route, LambdaHandler>; readonly api: Server }

/** Loads the functions from their sources into this process. @param root the folder that contains `functions/`. @throws StreetError */
export async function loadSources({ env, settings, declared, routes, queues, access }: Ground, root: URL) {
  // Variables of this run override those of a declaration.
  const places = { AWS_ENDPOINT_URL_SQS: queues.endpoint, ENIGMA_QUEUE_PREFIX: settings.relay.queuePrefix, ...access }
  Object.assign(env, ...declared.map(({ variables }) => variables), { ...env }, places)
  const handlers = await loadFunctions(root, routes)
  const { fetch } = await loadApp<Pick<Hono, 'fetch'>>(root, 'functions/api.ts')
  return { handlers, api: createAdaptorServer({ fetch }) as Server }
}

/** Reads the declarations in `functions/`. @throws StreetError `dev.functions.invalid` */
export async function readDeclared(root: URL | undefined): Promise<readonly DeclaredRoute[]> {
  try {
    return await readDeclarations(root)
  } catch (error) {
    if (!(error instanceof FunctionsError)) throw error
    throw new StreetError('dev.functions.invalid', error.message, { cause: error })
  }
}

/** Loads the app of each route and makes a handler of it. @param root the folder that contains `functions/`. @throws StreetError `dev.functions.invalid` */
export async function loadFunctions(root: URL, routes: Routes): Promise<ReadonlyMap<Route, LambdaHandler>> {
  const { stayAlive, toHandler } = await import('../../lambda/wiring.ts')
  stayAlive(undefined)
  const loaded = routes.all.map(async (route): Promise<[Route, LambdaHandler]> => {
    const file = appFile(route)
    const { handler } = await load(root, file)
    if (typeof handler === 'function') return [route, handler as LambdaHandler]
    return [route, toHandler(await loadApp<App>(root, file), route)]
  })
  return new Map(await Promise.all(loaded))
}

/** Loads the app that a file exports: a Hono app, or any object that answers requests. */
async function loadApp<A>(root: URL, file: string): Promise<A> {
  const app = (await load(root, file))['app']
  if (typeof app === 'object' && app !== null && 'fetch' in app) return app as A
  throw new StreetError('dev.functions.invalid', `${file} exports no Hono app named app`)
}

async function load(root: URL, file: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return (await import(new URL(file, root).href)) as Record<string, unknown>
  } catch (cause) {
    throw new StreetError('dev.functions.invalid', `${file} cannot be loaded: ${wordsOf(cause)}`, { cause })
  }
}

/** Simulates faults of handlers in this process and in its children. @throws StreetError `dev.fail.unknown_route` */
export function setFaults(env: Ground['env'], faults: readonly Fault[], routes: Routes): void {
  const names = routes.all.map(({ name }) => name)
  const unknown = faults.find(({ route }) => !names.includes(route))
  if (unknown !== undefined)
    throw new StreetError(
      'dev.fail.unknown_route',
      `--fail: there is no route ${unknown.route}; write one of ${names.join(', ')}`,
    )
  env['ENIGMA_FAIL'] = faults.length === 0 ? '' : JSON.stringify(faults)
}

/** Creates a trigger for each function on its queue. */
export function createTriggers(
  { sqs, urls }: Queues,
  handlers: Loaded['handlers'],
  log: Logger,
  onInvocation: (route: Route, invocation: Invocation) => void,
) {
  return [...handlers].map(([route, handler]) => {
    const queueUrl = urls.get(route) as string
    const [account, name] = queueUrl.split('/').slice(-2)
    return createLambdaTrigger({
      sqs,
      queueUrl,
      queueArn: `arn:aws:sqs:${LOCAL_AWS.AWS_REGION}:${account}:${name}`,
      handler,
      functionName: route.name,
      timeoutMs: route.timeoutSeconds * 1_000,
      log,
      onInvocation: (invocation) => onInvocation(route, invocation),
    })
  })
}

/* Without SQS and Lambda (`dev --edge`): functions and API run on workerd, the runtime of Cloudflare Workers. */

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
  const isKnown = new Set([...process.listeners('SIGINT'), ...process.listeners('SIGTERM')])
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
  // Miniflare's own listeners would end the process before the street has stopped.
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    for (const listener of process.listeners(name)) if (!isKnown.has(listener)) process.off(name, listener)
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
