import { getRuntimeKey } from 'hono/adapter'
import { describeError, fromHttp, logToConsole, type HttpFunction, type Log, type Verify } from '../adapter/index.ts'
import {
  createApi,
  listMissing,
  problemResponse,
  relayFunctions,
  type ApiOptions,
  type ConsoleFiles,
  type ConsoleTable,
} from '../api/index.ts'
import {
  FunctionsError,
  provideSettings,
  readAbandonRule,
  readMissingWait,
  readStoreOptions,
  type Env,
} from '../settings/index.ts'
import { checkEffect, createStore, type Effect } from '../store/index.ts'

/* Runs the functions, the API and the console on edge platforms. */

/** The values that a platform passes with a request: variables, and on Cloudflare also bindings. */
export type Bindings = Readonly<Record<string, unknown>>

/** The part of a request's context that is used here. Cloudflare passes it. */
export type EdgeContext = { readonly waitUntil?: (work: Promise<unknown>) => void }

export type EdgeOptions = {
  /**
   * The functions: the modules of `functions/`, imported with `import * as`. The functions of the relay's notices are added. Notifications
   * without a function go to the one that has no route (`functions/other.ts`).
   */
  readonly functions: readonly HttpFunction[]
  /** The variables, if they are known before the first request. Default: the variables that the platform passes with a request, as Cloudflare does. */
  readonly env?: Env
  /** The path to which relays send, as in their ENIGMA_TARGET. The API answers all other paths. Default `/notifications`. */
  readonly path?: string
  /** Returns the console's files; receives the values that the platform passes. Default: no console. */
  readonly console?: (bindings: Bindings) => ConsoleFiles
  /** Creates the API. Pass your own function to add endpoints. Default `createApi`. */
  readonly api?: (options: ApiOptions) => App
  /** Returns the time (Unix ms). Default `Date.now`. */
  readonly now?: () => number
  /** Writes a log line. Default: one JSON line on standard error. */
  readonly log?: Log
}

type App = { readonly fetch: (request: Request, env?: object) => Response | Promise<Response> }

/** The parts that depend on the variables. */
type Parts = {
  readonly answer: (request: Request, bindings: Bindings) => Response | Promise<Response>
  readonly maintain: () => Promise<unknown>
}

/** The handlers, as Cloudflare, Deno and servers for Node call them. */
export type Edge = {
  readonly fetch: (request: Request, bindings?: object, context?: EdgeContext) => Promise<Response>
  /** Lists the calls whose CDR is missing. Call it every five minutes. Never rejects: it logs a failure, and the next call tries again. */
  readonly scheduled: (event?: unknown, bindings?: object) => Promise<void>
}

const PATH = '/notifications'

/**
 * The limits of streams of changes. A stream ends after `limitMs`, and the client resumes where it was: a stream makes one subrequest per second,
 * and Cloudflare's free plan allows 50 per request (https://developers.cloudflare.com/workers/platform/limits/#subrequests). The platform limits
 * the number of streams.
 */
const EVENTS = { limitMs: 40_000, maxStreams: Infinity }

/** If a request has no response after this time (ms), the platform has ended it, because no request takes so long. */
const MAX_REQUEST_MS = 60_000

/**
 * Runs the functions, the API and the console behind one address, on every platform with `fetch` handlers: Cloudflare Workers, Deno, Node.
 * docs/edge.md lists the variables.
 *
 * @example
 * import * as call from './functions/agents/call.ts'
 * import * as other from './functions/other.ts'
 * export default createEdge({ functions: [call, other] })
 * @throws FunctionsError, ApiError, AdapterError or StoreError if `env` is invalid. If variables that arrive with a request are invalid, the
 * handler logs the cause and answers requests with status 500
 */
export function createEdge(options: EdgeOptions): Edge {
  const { env, now = Date.now, log = logToConsole } = options
  const make = (bindings: Bindings): Parts => {
    try {
      return createParts(options, env ?? textsOf(bindings), bindings)
    } catch (error) {
      if (env !== undefined) throw error
      log({
        level: 'error',
        code: 'functions.edge.not_configured',
        message: 'this deployment has invalid variables and answers every request with 500',
        error: describeError(error),
      })
      const refuse = () => problemResponse('internal', 'This deployment is not configured; its log has the cause.')
      return { answer: refuse, maintain: () => Promise.resolve() }
    }
  }
  let parts: Parts | undefined = env && make(env)
  let open = new Set<{ readonly sinceMs: number }>()
  return {
    fetch: (request, given = {}, context) => {
      // A server with `env` passes other values here, such as details of the connection.
      const bindings: Bindings = env ?? (given as Bindings)
      const own = { sinceMs: now() }
      // Platforms end requests that use too many resources. A subrequest of such a request never completes, so other requests that wait for its
      // result would wait forever. Therefore everything is created anew.
      if ([...open].some(({ sinceMs }) => sinceMs < own.sinceMs - MAX_REQUEST_MS))
        [parts, open] = [undefined, new Set()]
      parts ??= make(bindings)
      const [{ answer }, all] = [parts, open]
      all.add(own)
      const answered = (async () => answer(request, bindings))().finally(() => all.delete(own))
      // Cloudflare ends a request when its client disconnects. Its commit may be in progress, and other requests may wait for its subrequests.
      context?.waitUntil?.(answered.catch(() => undefined))
      return answered
    },
    scheduled: async (_event, given = {}) => {
      try {
        await (parts ??= make(env ?? (given as Bindings))).maintain()
      } catch (error) {
        log({
          level: 'error',
          code: 'functions.edge.schedule_failed',
          message: 'calls without a CDR could not be listed; the next scheduled run tries again',
          error: describeError(error),
        })
      }
    },
  }
}

/** Creates the parts of a deployment from its variables. @throws the same errors as `createEdge` */
function createParts(options: EdgeOptions, env: Env, bindings: Bindings): Parts {
  const { functions, path = PATH, now = Date.now, log = logToConsole, api: makeApi = createApi } = options
  provideSettings((name) => Promise.resolve(env[name]?.trim() ?? ''))
  const { read, commit, recall } = createStore({ ...readStoreOptions(env), now })
  const missing = { ...readMissingWait(env), now }
  const notifications = fromHttp<Effect>([...relayFunctions, ...functions], {
    verify: readVerify(env),
    check: checkEffect,
    commit,
    recall,
    now,
    log,
  })
  const api = makeApi({
    read,
    token: env['API_TOKEN'] ?? '',
    tokens: env['API_TOKENS'] ?? '',
    corsOrigin: env['API_CORS_ORIGIN'] ?? '',
    abandoned: readAbandonRule(env),
    events: EVENTS,
    // Without queues, a relay drives replays.
    replay: { commit },
    ...(options.console === undefined ? {} : { console: options.console(bindings) }),
    now,
    log,
  })
  return {
    answer: (request, own) =>
      new URL(request.url).pathname === path ? notifications(request, own) : api.fetch(request, own),
    maintain: () => listMissing({ read, commit }, missing),
  }
}

const SECRET = /^whsec_[A-Za-z0-9+/]+=*$/

/** Reads who may send notifications: the same setting as on the relay, with two secrets during a rotation. @throws FunctionsError `functions.target.invalid` */
function readVerify(env: Env): Verify {
  const secrets = (env['ENIGMA_TARGET_SECRET'] ?? '').split(',').flatMap((secret) => secret.trim() || [])
  if (secrets.some((secret) => !SECRET.test(secret)))
    throw new FunctionsError(
      'functions.target.invalid',
      `ENIGMA_TARGET_SECRET is not a Standard Webhooks secret, or two secrets separated by a comma; ${MAKE}`,
    )
  if (secrets.length > 0) return { webhook: secrets }
  const bearer = env['ENIGMA_TARGET_TOKEN']?.trim() ?? ''
  if (bearer !== '') return { bearer }
  throw new FunctionsError(
    'functions.target.invalid',
    `neither ENIGMA_TARGET_SECRET nor ENIGMA_TARGET_TOKEN is set, so anyone could write to the read model; ${MAKE}`,
  )
}

const MAKE =
  'set ENIGMA_TARGET_SECRET here and on the relay to the same value; `echo whsec_$(openssl rand -base64 32)` prints one'

const textsOf = (bindings: Bindings): Env =>
  Object.fromEntries(
    Object.entries(bindings).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])),
  )

/** Reads a file from the folder `dist/console` of this package by its name, such as `files.json`. Resolves with undefined if it does not exist. */
export type ReadFile = (name: string) => Promise<Uint8Array<ArrayBuffer> | undefined>

const ENDINGS = { br: '.br', gzip: '.gz' } as const

/**
 * Returns the console's files from the storage of a platform. Each file is read when it is requested. On Cloudflare, the uncompressed files are
 * sent: its runtime compresses a body according to the content-encoding of the response, and would compress a compressed file again
 * (https://developers.cloudflare.com/workers/runtime-apis/response/, `encodeBody`).
 *
 * @example consoleFrom((name) => Deno.readFile(new URL(name, folder)))
 */
export function consoleFrom(readFile: ReadFile): ConsoleFiles {
  let table: ConsoleTable | undefined
  const readTable = async (): Promise<ConsoleTable> => {
    const bytes = await readFile('files.json')
    if (bytes === undefined) return {}
    const files = JSON.parse(new TextDecoder().decode(bytes)) as ConsoleTable
    if (getRuntimeKey() !== 'workerd') return files
    return Object.fromEntries(Object.entries(files).map(([name, file]) => [name, { ...file, encodings: [] }]))
  }
  return {
    table: async () => (table ??= await readTable()),
    read: async (name, encoding) =>
      (await readFile(name + (encoding === undefined ? '' : ENDINGS[encoding]))) ?? new Uint8Array(),
  }
}
