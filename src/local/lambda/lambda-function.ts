import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { StreetError } from '../servers.ts'
import {
  FunctionError,
  readJson,
  startEnvironment,
  type Answer,
  type Environment,
  type EnvironmentOptions,
  type FunctionSpec,
} from './environment.ts'

/** Creates a function with one environment per concurrent invocation. The environment that was used last is used next, as on Lambda. */
export function createLambdaFunction(spec: FunctionSpec, options: EnvironmentOptions) {
  const idle: Environment[] = []
  /** Promises of environments that have answered and are about to be frozen. */
  const soonIdle = new Set<Promise<void>>()
  const all = new Set<Environment>()
  /** The number of environments that were started, and that exist now. */
  const seen = {
    coldStarts: 0,
    get environments() {
      return all.size
    },
  }
  const starting = new Set<Promise<unknown>>()
  const stopping = new AbortController()

  const end = (environment: Environment): Promise<void> => {
    all.delete(environment)
    return environment.stop()
  }
  const start = async (): Promise<Environment> => {
    if (stopping.signal.aborted) throw new FunctionError('Runtime.ExitError', `${spec.name} was stopped`)
    seen.coldStarts++
    const started = startEnvironment(spec, options, stopping.signal)
    starting.add(started)
    const environment = await started.finally(() => starting.delete(started))
    all.add(environment)
    return environment
  }

  /** Returns an idle environment, and removes those whose process was killed meanwhile. */
  const takeIdle = (): Environment | undefined => {
    for (let found = idle.pop(); found !== undefined; found = idle.pop()) {
      if (found.isAlive()) return found
      void end(found)
    }
    return undefined
  }

  const noteAnswered = (environment: Environment, answered?: Answer) => {
    // An environment that has ended or timed out is not used again.
    const over = environment
      .idle()
      .then(
        () => (environment.isAlive() ? void idle.push(environment) : end(environment)),
        () => end(environment),
      )
      .finally(() => soonIdle.delete(over))
    // The length of a stream is unknown. After its end, the environment is free as soon as it is frozen.
    const soon = () => all.has(environment) && void soonIdle.add(over)
    if (answered === undefined) soon()
    else answered.body.once('end', soon)
  }

  return {
    seen,
    /** @throws FunctionError */
    async invoke(event: unknown): Promise<Answer> {
      if (idle.length === 0 && soonIdle.size > 0) await Promise.race(soonIdle)
      const environment = takeIdle() ?? (await start())
      const answering = environment.invoke(event)
      answering.then(
        (answered) => noteAnswered(environment, answered),
        () => noteAnswered(environment),
      )
      return answering
    },
    async stop(): Promise<void> {
      // Wait also for environments that are starting: their processes would outlive this one.
      stopping.abort()
      await Promise.allSettled([...starting, ...[...all].map(end)])
    },
  }
}

export type LambdaFunction = ReturnType<typeof createLambdaFunction>

/** The metadata before the body of an answer. */
export type Head = {
  readonly statusCode?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly cookies?: readonly string[]
}

type Body = { readonly body?: string; readonly isBase64Encoded?: boolean }

/** Creates the server of a function's URL: it turns HTTP requests into invocations, and passes answers on, streamed or not. */
export function createFunctionUrl(lambda: LambdaFunction) {
  return createServer((request, response) => {
    answer(lambda, request, response).catch(() => {
      if (!response.headersSent) response.writeHead(502, { 'content-type': 'application/json' })
      // The answer of Lambda if the function failed.
      response.end('{"Message":"Internal Server Error"}')
    })
  })
}

async function answer(lambda: LambdaFunction, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const given = await lambda.invoke(await toEvent(request))
  if (given.isStream) return passStream(given, response)
  const { body = '', isBase64Encoded = false, ...head } = (await readJson(given)) as Head & Body
  writeHead(head, response)
  response.end(Buffer.from(body, isBase64Encoded ? 'base64' : 'utf8'))
}

/** Converts a request to the payload format 2.0. Source: "Invoking Lambda function URLs" in the Lambda developer guide. */
async function toEvent(request: IncomingMessage): Promise<unknown> {
  const { pathname, search } = new URL(request.url ?? '/', 'http://localhost')
  const body = await buffer(request)
  const { cookie, ...headers } = request.headers
  const domainName = request.headers.host ?? 'localhost'
  const now = new Date()
  return {
    version: '2.0',
    routeKey: '$default',
    rawPath: pathname,
    rawQueryString: search.slice(1),
    ...(cookie === undefined ? {} : { cookies: cookie.split('; ') }),
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)])),
    requestContext: {
      accountId: 'anonymous',
      apiId: 'local',
      domainName,
      domainPrefix: 'local',
      requestId: randomUUID(),
      routeKey: '$default',
      stage: '$default',
      http: {
        method: request.method,
        path: pathname,
        protocol: 'HTTP/1.1',
        sourceIp: request.socket.remoteAddress ?? '',
        userAgent: request.headers['user-agent'] ?? '',
      },
      time: now.toISOString(),
      timeEpoch: now.getTime(),
    },
    ...(body.length === 0 ? {} : { body: body.toString('base64') }),
    isBase64Encoded: body.length > 0,
  }
}

/** Passes a streamed answer on. Its metadata come first, as JSON that ends with eight NULs. */
async function passStream({ contentType, body }: Answer, response: ServerResponse): Promise<void> {
  if (contentType === 'application/vnd.awslambda.http-integration-response') writeHead(await readHead(body), response)
  else response.writeHead(200, { 'content-type': contentType })
  for await (const chunk of body) if (!response.write(chunk)) await once(response, 'drain')
  response.end()
}

async function readHead(body: Readable): Promise<Head> {
  let held = Buffer.alloc(0)
  for (;;) {
    const chunk = body.read() as Buffer | null
    if (chunk === null) {
      if (body.readableEnded) throw new StreetError('dev.lambda.bad_answer', 'the answer ended before its head')
      await Promise.race([once(body, 'readable'), once(body, 'end')])
      continue
    }
    held = Buffer.concat([held, chunk])
    const at = held.indexOf(Buffer.alloc(8))
    if (at < 0) continue
    const rest = held.subarray(at + 8)
    if (rest.length > 0) body.unshift(rest)
    return JSON.parse(held.subarray(0, at).toString()) as Head
  }
}

function writeHead({ statusCode = 200, headers = {}, cookies = [] }: Head, response: ServerResponse): void {
  response.writeHead(statusCode, { ...headers, ...(cookies.length === 0 ? {} : { 'set-cookie': [...cookies] }) })
}
