import { request, type ClientRequest } from 'node:http'
import { once } from 'node:events'
import { join } from 'node:path'
import { Transform, type Writable } from 'node:stream'
import { pathToFileURL } from 'node:url'
import type { Context as WholeContext } from 'aws-lambda'
import type { Head } from './lambda-function.ts'

/*
 * Runs a bundle in an execution environment: takes invocations from the Runtime API and answers them, as the runtime nodejs24.x
 * does. environment.ts starts it in a process of its own, with the variables of the function and nothing else.
 * Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
 */

type Context = Pick<
  WholeContext,
  'functionName' | 'memoryLimitInMB' | 'invokedFunctionArn' | 'awsRequestId' | 'getRemainingTimeInMillis'
>
type Handler = (event: unknown, context: Context) => unknown
type StreamHandler = (event: unknown, stream: Writable, context: Context) => Promise<void>

const {
  AWS_LAMBDA_RUNTIME_API: api = '',
  _HANDLER: named = '',
  LAMBDA_TASK_ROOT: root = '',
  AWS_LAMBDA_FUNCTION_NAME: functionName = '',
  AWS_LAMBDA_FUNCTION_MEMORY_SIZE: memory = '',
} = process.env
const STREAMS = Symbol('streams')
const HEAD_TYPE = 'application/vnd.awslambda.http-integration-response'

/** A stream that writes its metadata first, then eight NULs, then its bytes. Source: "Response streaming for Lambda functions". */
class ResponseStream extends Transform {
  contentType = 'application/octet-stream'
  head: Head | undefined

  override _transform(chunk: Buffer, _encoding: string, done: (error: null, chunk: Buffer) => void): void {
    const head = this.head === undefined ? [] : [Buffer.from(JSON.stringify(this.head)), Buffer.alloc(8)]
    this.head = undefined
    done(null, Buffer.concat([...head, chunk]))
  }
}

Object.assign(globalThis, {
  awslambda: {
    streamifyResponse: (handler: StreamHandler) => Object.assign(handler, { [STREAMS]: true }),
    HttpResponseStream: {
      from: (response: ResponseStream, head: Head) => {
        response.head = head
        response.contentType = HEAD_TYPE
        return response
      },
    },
  },
})

function call(method: string, path: string, headers: Record<string, string> = {}) {
  const [host, port] = api.split(':')
  return request({ host, port, method, path: `/2018-06-01/runtime/${path}`, headers })
}

async function send(path: string, body: string, headers: Record<string, string> = {}): Promise<void> {
  const sending = call('POST', path, { 'content-type': 'application/json', ...headers })
  sending.end(body)
  await end(sending)
}

/** Waits for the answer to a request. The answer has no content. */
async function end(sending: ClientRequest): Promise<void> {
  const [response] = (await once(sending, 'response')) as [NodeJS.ReadableStream]
  response.resume()
  await once(response, 'end')
}

const toError = (error: unknown) =>
  error instanceof Error
    ? { errorType: error.name, errorMessage: error.message, stackTrace: (error.stack ?? '').split('\n').slice(1) }
    : { errorType: typeof error, errorMessage: String(error), stackTrace: [] }

const say = (error: unknown, words: object) =>
  process.stderr.write(`${JSON.stringify({ level: 'error', ...words, ...toError(error) })}\n`)

async function load(): Promise<Handler | StreamHandler> {
  const [, file, name] = /^(.*)\.([^./]+)$/.exec(named) ?? []
  const module = (await import(pathToFileURL(join(root, `${file}.mjs`)).href)) as Record<string, unknown>
  const handler = module[name as string]
  // A plain error, because this process loads only the bundle, and no error class of the project.
  if (typeof handler !== 'function')
    throw Object.assign(new TypeError(`${named} is not a function`), { code: 'dev.lambda.no_handler' })
  return handler as Handler
}

async function work(handler: Handler | StreamHandler): Promise<never> {
  for (;;) {
    const asking = call('GET', 'invocation/next')
    asking.end()
    const [response] = (await once(asking, 'response')) as [NodeJS.ReadableStream & { headers: Record<string, string> }]
    let text = ''
    for await (const chunk of response.setEncoding('utf8')) text += chunk as string
    const id = response.headers['lambda-runtime-aws-request-id'] as string
    const deadlineMs = Number(response.headers['lambda-runtime-deadline-ms'])
    invocation = id
    process.env['_X_AMZN_TRACE_ID'] = response.headers['lambda-runtime-trace-id']
    const context: Context = {
      functionName,
      memoryLimitInMB: memory,
      awsRequestId: id,
      invokedFunctionArn: response.headers['lambda-runtime-invoked-function-arn'] as string,
      getRemainingTimeInMillis: () => Math.max(0, deadlineMs - Date.now()),
    }
    try {
      const event: unknown = JSON.parse(text)
      if (STREAMS in handler) await stream(handler as StreamHandler, event, context)
      else await send(`invocation/${id}/response`, JSON.stringify((await (handler as Handler)(event, context)) ?? null))
    } catch (error) {
      say(error, { code: 'dev.lambda.invocation_failed' })
      await send(`invocation/${id}/error`, JSON.stringify(toError(error)), {
        'lambda-runtime-function-error-type': 'Unhandled',
      })
    }
  }
}

async function stream(handler: StreamHandler, event: unknown, context: Context): Promise<void> {
  const out = new ResponseStream()
  const running = handler(event, out, context)
  // The headers of the answer are known when its first bytes arrive.
  await Promise.race([once(out, 'readable'), running])
  const sending = call('POST', `invocation/${context.awsRequestId}/response`, {
    'content-type': out.contentType,
    'lambda-runtime-function-response-mode': 'streaming',
    'transfer-encoding': 'chunked',
  })
  const ended = end(sending)
  out.pipe(sending)
  await running
  await ended
}

/** The id of the current invocation. */
let invocation = ''

// Up to version 3, the runtime client does the same, with the exit codes of its src/index.mjs. Version 4 leaves both to Node, which also exits.
async function exit(code: number, error: unknown, words: object = {}): Promise<void> {
  // If nobody reads the output of this process, each write causes another error. Without listeners, that error ends the process.
  process.removeAllListeners('uncaughtException').removeAllListeners('unhandledRejection')
  say(error, words)
  const path = invocation === '' ? 'init/error' : `invocation/${invocation}/error`
  await send(path, JSON.stringify(toError(error))).catch(() => undefined)
  process.exit(code)
}
process.on('uncaughtException', (error) => void exit(129, error))
process.on('unhandledRejection', (error) => void exit(128, error))

try {
  await work(await load())
} catch (error) {
  await exit(1, error, { code: 'dev.lambda.not_started', message: 'the function did not start' })
}
