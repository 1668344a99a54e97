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

/** What a platform passes with a request: variables, and on Cloudflare bindings too. */
export type Bindings = Readonly<Record<string, unknown>>

/** The part of a request's context that is used here: Cloudflare has it. */
export type EdgeContext = { readonly waitUntil?: (work: Promise<unknown>) => void }

export type EdgeOptions = {
  /**
   * The functions: files of `functions/`, each as `import * as` gives it. Those of the relay's own notices are added. A notification that
   * none of them takes goes to the one without a route (`functions/other.ts`).
   */
  readonly functions: readonly HttpFunction[]
  /** The variables, where they are there before the first request. Default: those that the platform passes with a request, as Cloudflare does. */
  readonly env?: Env
  /** The path to which relays send, as in their ENIGMA_TARGET. Everything else is the API's. Default `/notifications`. */
  readonly path?: string
  /** The console's files. It gets what the platform passes. Default: there is no console. */
  readonly console?: (bindings: Bindings) => ConsoleFiles
  /** Makes the API. One of your own may add endpoints to it. Default `createApi`. */
  readonly api?: (options: ApiOptions) => App
  /** Unix ms. Default `Date.now`. */
  readonly now?: () => number
  /** Default: one JSON line on standard error. */
  readonly log?: Log
}

type App = { readonly fetch: (request: Request, env?: object) => Response | Promise<Response> }

/** What follows from the variables. */
type Parts = {
  readonly answer: (request: Request, bindings: Bindings) => Response | Promise<Response>
  readonly maintain: () => Promise<unknown>
}

/** The handlers, as Cloudflare, Deno and Node's servers call them. */
export type Edge = {
  readonly fetch: (request: Request, bindings?: object, context?: EdgeContext) => Promise<Response>
  /** To be called every five minutes: lists the calls whose CDR is missing. Never rejects; what fails is logged, and the next call does it. */
  readonly scheduled: (event?: unknown, bindings?: object) => Promise<void>
}

const PATH = '/notifications'

/**
 * A stream of changes ends after this time (ms), and the client goes on where it was: a stream asks once a second, and on Cloudflare's free plan a
 * request may ask 50 times (https://developers.cloudflare.com/workers/platform/limits/#subrequests). How many there are is the platform's business.
 */
const EVENTS = { limitMs: 40_000, maxStreams: Infinity }

/** Longer (ms) than any request takes to be answered. */
const LOST_MS = 60_000

/**
 * The functions, the API and the console behind one address, on every platform that has `fetch` handlers: Cloudflare Workers, Deno, Node. docs/edge.md lists
 * the variables.
 *
 * @example
 * import * as call from './functions/agents/call.ts'
 * import * as other from './functions/other.ts'
 * export default createEdge({ functions: [call, other] })
 * @throws FunctionsError, ApiError, AdapterError or StoreError that says what is wrong with `env`. Of variables that come with a request it is logged, and
 * requests are answered with 500
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
      // A server that has its variables from the start passes other things: what it knows of the connection.
      const bindings: Bindings = env ?? (given as Bindings)
      const own = { sinceMs: now() }
      // Platforms end requests that take too much. What such a one has asked for never comes, nor for others that wait for the same: all is made anew.
      if ([...open].some(({ sinceMs }) => sinceMs < own.sinceMs - LOST_MS)) [parts, open] = [undefined, new Set()]
      parts ??= make(bindings)
      const [{ answer }, all] = [parts, open]
      all.add(own)
      const answered = (async () => answer(request, bindings))().finally(() => all.delete(own))
      // Cloudflare ends a request when its sender hangs up. Its effects may be half-way, and others may wait for what it has asked for.
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

/** All that a deployment does, by these variables. @throws what `createEdge` does */
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
    // A relay drives replays: there are no queues.
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

/** Who may send notifications: as the relay has it, two secrets while one is replaced. @throws FunctionsError `functions.target.invalid` */
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

/** Reads a file of the folder `dist/console` of this package by its name, such as `files.json`; undefined when it is not there. */
export type ReadFile = (name: string) => Promise<Uint8Array<ArrayBuffer> | undefined>

const ENDINGS = { br: '.br', gzip: '.gz' } as const

/**
 * The console's files, wherever a platform keeps them. They are read as they are asked for. On Cloudflare they go out as they are: its runtime
 * compresses a body by the answer's content-encoding, and would do so with one that is compressed already
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
