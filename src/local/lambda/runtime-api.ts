import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { listen } from '../http-server.ts'

/** Says why an invocation failed, with the name that Lambda gives the failure. */
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

/** What a function answered: for a streaming one as it comes. */
export type Answer = { readonly isStream: boolean; readonly contentType: string; readonly body: Readable }

/** What a function that does not stream has answered. */
export const readJson = async (answer: Answer): Promise<unknown> => JSON.parse(await text(answer.body)) as unknown

/**
 * The Runtime API for one execution environment, on 127.0.0.1: hands it one invocation after the other.
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
      // Whoever invoked reads the body; the runtime is told when it has come to its end.
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
  // An environment that is frozen keeps its connection for as long as it is.
  server.requestTimeout = 0
  server.keepAliveTimeout = 0
  const { port, stop } = await listen(server)
  return {
    /** AWS_LAMBDA_RUNTIME_API. */
    address: `127.0.0.1:${port}`,
    /** Resolves each time the runtime asks for an invocation: it has nothing to do then. @throws FunctionError when it did not start */
    idle: () => idling.promise,
    /** To be called while it is idle. Resolves when the answer begins. @throws FunctionError */
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
    /** The environment has ended, or is to: whoever waits is told. */
    fail,
    close: () => void stop(),
  }
}
