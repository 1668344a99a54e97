import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { StreetError } from '../street-error.ts'
import { FunctionError, readJson, startEnvironment, type Answer, type Environment, type EnvironmentOptions, type FunctionSpec } from './environment.ts'

/** A function with as many environments as it is invoked at the same time: the one that was used last is used next. */
export function createLambdaFunction(spec: FunctionSpec, options: EnvironmentOptions) {
  const idle: Environment[] = []
  /** Of environments that have answered. */
  const soonIdle = new Set<Promise<void>>()
  const all = new Set<Environment>()
  /** How often an environment was started, and how many there are. */
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
    const start = startEnvironment(spec, options, stopping.signal)
    starting.add(start)
    const environment = await start.finally(() => starting.delete(start))
    all.add(environment)
    return environment
  }

  /** One whose process somebody has killed meanwhile is not used again. */
  const takeIdle = (): Environment | undefined => {
    for (let found = idle.pop(); found !== undefined; found = idle.pop()) {
      if (found.isAlive()) return found
      void end(found)
    }
    return undefined
  }

  const noteAnswered = (environment: Environment, answer?: Answer) => {
    // One that has ended, or ran out of time, is not used again.
    const over = environment
      .idle()
      .then(
        () => (environment.isAlive() ? void idle.push(environment) : end(environment)),
        () => end(environment),
      )
      .finally(() => soonIdle.delete(over))
    // Nobody knows how long a stream takes. After its end the environment is free as soon as it is frozen.
    const soon = () => all.has(environment) && void soonIdle.add(over)
    if (answer === undefined) soon()
    else answer.body.once('end', soon)
  }

  return {
    seen,
    /** @throws FunctionError */
    async invoke(event: unknown): Promise<Answer> {
      if (idle.length === 0 && soonIdle.size > 0) await Promise.race(soonIdle)
      const environment = takeIdle() ?? (await start())
      const answer = environment.invoke(event)
      answer.then(
        (answered) => noteAnswered(environment, answered),
        () => noteAnswered(environment),
      )
      return answer
    },
    async stop(): Promise<void> {
      // One that is starting ends as well, and is waited for: its process would outlive this one.
      stopping.abort()
      await Promise.allSettled([...starting, ...[...all].map(end)])
    },
  }
}

export type LambdaFunction = ReturnType<typeof createLambdaFunction>

/** What stands before the body of an answer. */
export type Head = {
  readonly statusCode?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly cookies?: readonly string[]
}

type Body = { readonly body?: string; readonly isBase64Encoded?: boolean }

/** A function's URL: HTTP requests become invocations, and its answers, streamed or not, answers. */
export function createFunctionUrl(lambda: LambdaFunction) {
  return createServer((request, response) => {
    answer(lambda, request, response).catch(() => {
      if (!response.headersSent) response.writeHead(502, { 'content-type': 'application/json' })
      // What Lambda says when the function has failed.
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

/** The payload format 2.0. Source: "Invoking Lambda function URLs" in the Lambda developer guide. */
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

/** What stands before the body: JSON, then eight NULs. */
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
