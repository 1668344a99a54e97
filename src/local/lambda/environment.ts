import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { within } from '../../runtime/index.ts'
import { listen } from '../servers.ts'

/** Reports that an invocation failed, with Lambda's name for the failure. */
export class FunctionError extends Error {
  override readonly name = 'FunctionError'
  readonly code = 'dev.lambda.failed'
  /** `Sandbox.Timedout`, `Runtime.ExitError`, `Runtime.InitError`, or the type of the error that the handler threw. */
  readonly errorType: string

  constructor(errorType: string, message: string) {
    super(message)
    this.errorType = errorType
  }
}

/** The answer of a function. The body of a streaming function arrives in parts. */
export type Answer = { readonly isStream: boolean; readonly contentType: string; readonly body: Readable }

/** Reads the answer of a function that does not stream. */
export const readJson = async (answer: Answer): Promise<unknown> => JSON.parse(await text(answer.body)) as unknown

/**
 * Starts the Runtime API for one execution environment on 127.0.0.1. It gives the environment one invocation after the other.
 * Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
 */
export async function startRuntimeApi() {
  let asking: ServerResponse | undefined
  let answering: PromiseWithResolvers<Answer> | undefined
  let idling = Promise.withResolvers<void>()
  let failure: FunctionError | undefined
  idling.promise.catch(() => undefined)

  const fail = (error: FunctionError) => {
    failure ??= error
    answering?.reject(failure)
    idling.reject(failure)
  }

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? '').replace('/2018-06-01/runtime/', '')
    if (path === 'invocation/next') {
      asking = response
      idling.resolve()
      return
    }
    if (path.endsWith('/response')) {
      const isStream = request.headers['lambda-runtime-function-response-mode'] === 'streaming'
      // The caller of `invoke` reads the body. The runtime gets its answer when the body has ended.
      request.once('end', () => response.writeHead(202).end())
      answering?.resolve({ isStream, contentType: request.headers['content-type'] ?? '', body: request })
      return
    }
    const error = await text(request)
    response.writeHead(202).end()
    const { errorType, errorMessage } = JSON.parse(error) as { errorType: string; errorMessage: string }
    if (path === 'init/error') fail(new FunctionError('Runtime.InitError', `${errorType}: ${errorMessage}`))
    else answering?.reject(new FunctionError(errorType, errorMessage))
  }

  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy())
  })
  // A frozen environment keeps its connection open for as long as it is frozen.
  server.requestTimeout = 0
  server.keepAliveTimeout = 0
  const { port, stop } = await listen(server)
  return {
    /** AWS_LAMBDA_RUNTIME_API. */
    address: `127.0.0.1:${port}`,
    /** Resolves when the runtime asks for an invocation, so it is idle. @throws FunctionError if it did not start */
    idle: () => idling.promise,
    /** Sends an invocation to an idle runtime. Resolves when the answer begins. @throws FunctionError */
    invoke(requestId: string, event: unknown, deadlineMs: number, arn: string): Promise<Answer> {
      if (failure !== undefined) return Promise.reject(failure)
      if (asking === undefined)
        return Promise.reject(new FunctionError('Runtime.Busy', 'the environment has an invocation'))
      const next = asking
      asking = undefined
      idling = Promise.withResolvers()
      idling.promise.catch(() => undefined)
      answering = Promise.withResolvers()
      next
        .writeHead(200, {
          'content-type': 'application/json',
          'lambda-runtime-aws-request-id': requestId,
          'lambda-runtime-deadline-ms': String(Math.floor(deadlineMs)),
          'lambda-runtime-invoked-function-arn': arn,
          'lambda-runtime-trace-id': `Root=1-${Math.floor(Date.now() / 1000).toString(16)}-${requestId.replaceAll('-', '').slice(0, 24)};Sampled=0`,
        })
        .end(JSON.stringify(event))
      return answering.promise
    },
    /** Rejects all waiting promises, because the environment has ended or is about to. */
    fail,
    close: () => void stop(),
  }
}

/** A function as the template declares it. */
export type FunctionSpec = {
  readonly name: string
  /** `dist/functions/api/index.handler`, in `taskRoot`. */
  readonly handler: string
  /** The folder into which its artefact was unpacked. */
  readonly taskRoot: string
  readonly memoryMiB: number
  readonly timeoutMs: number
  /** All of its variables, except those that Lambda sets. */
  readonly variables: Readonly<Record<string, string>>
}

export type EnvironmentOptions = {
  /** The variables that AWS sets: credentials, region, and the endpoints of local services. */
  readonly aws: Readonly<Record<string, string>> & { readonly AWS_REGION: string }
  /** Called for each line that the function writes. */
  readonly onLine: (line: string) => void
  /** Called with the id of the process. */
  readonly onStart?: (pid: number) => void
}

/** The longest time (ms) that a function may take to start. Source: "Lambda execution environment lifecycle". */
const MAX_INIT_MS = 10_000

const BOOTSTRAP = fileURLToPath(new URL('bootstrap.ts', import.meta.url))

/**
 * Starts an execution environment: a process that runs one function. It handles one invocation at a time, and is frozen between two. Resolves
 * when the function can be invoked. When the signal aborts, the process ends. @throws FunctionError
 */
export async function startEnvironment(
  spec: FunctionSpec,
  { aws, onLine, onStart }: EnvironmentOptions,
  signal?: AbortSignal,
) {
  const { name, handler, taskRoot, memoryMiB, timeoutMs, variables } = spec
  const api = await startRuntimeApi()
  const child = spawn(process.execPath, [`--max-old-space-size=${Math.floor(memoryMiB * 0.9)}`, BOOTSTRAP], {
    cwd: taskRoot,
    stdio: ['ignore', 'pipe', 'pipe'],
    // Ctrl-C in a terminal is for the street, which then stops this process itself.
    detached: true,
    env: {
      ...variables,
      ...aws,
      TZ: ':UTC',
      LANG: 'en_US.UTF-8',
      LAMBDA_TASK_ROOT: taskRoot,
      _HANDLER: handler,
      AWS_LAMBDA_RUNTIME_API: api.address,
      AWS_LAMBDA_FUNCTION_NAME: name,
      AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(memoryMiB),
      AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
    },
  })
  const ended = once(child, 'close').then(() => {
    const how = child.signalCode ?? child.exitCode
    api.fail(new FunctionError('Runtime.ExitError', `the process of ${name} has ended (${how})`))
    api.close()
  })
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', onLine)
  if (child.pid !== undefined) onStart?.(child.pid)

  const kill = (errorType: string, message: string): FunctionError => {
    const error = new FunctionError(errorType, message)
    api.fail(error)
    child.kill('SIGKILL')
    return error
  }
  const freeze = async () => {
    await api.idle()
    child.kill('SIGSTOP')
  }
  const gone = () => Promise.race([ended, delay(5_000, undefined, { ref: false })])
  const abort = () => void kill('Runtime.ExitError', `${name} was stopped`)
  signal?.addEventListener('abort', abort)
  if (signal?.aborted === true) abort()
  try {
    await within(MAX_INIT_MS, freeze(), () =>
      kill('Runtime.InitError', `${name} has not started within ${MAX_INIT_MS / 1000} seconds`),
    )
  } catch (error) {
    // No other code ends this process.
    abort()
    await gone()
    throw error
  } finally {
    signal?.removeEventListener('abort', abort)
  }
  let frozen = Promise.resolve()
  return {
    /** Invokes the function. Resolves when its answer begins. @throws FunctionError, after which the environment cannot be used any more */
    async invoke(event: unknown): Promise<Answer> {
      await frozen
      child.kill('SIGCONT')
      const late = () =>
        kill('Sandbox.Timedout', `${name}: Task timed out after ${(timeoutMs / 1000).toFixed(2)} seconds`)
      const arn = `arn:aws:lambda:${aws.AWS_REGION}:000000000000:function:${name}`
      const answer = api.invoke(randomUUID(), event, Date.now() + timeoutMs, arn)
      // The time limit applies to the whole answer, not only to its beginning. After an error of the handler, the environment stays in use.
      frozen = within(timeoutMs, freeze(), late)
      frozen.catch(() => undefined)
      return answer
    },
    isAlive: (): boolean => child.exitCode === null && child.signalCode === null,
    /** Resolves when the invocation has ended and the process is frozen. Rejects if the environment has ended. */
    idle: () => frozen,
    async stop(): Promise<void> {
      abort()
      await gone()
    },
  }
}

export type Environment = Awaited<ReturnType<typeof startEnvironment>>
