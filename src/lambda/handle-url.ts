import { readFile } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { describeError } from '../adapter/index.ts'
import { logApi, problemResponse, type ApiEnv, type ConsoleFiles, type ConsoleTable } from '../api/index.ts'
import { fromBase64, toBase64, toText } from '../protocol/index.ts'

/**
 * The event of a request to a Lambda function URL (payload format 2.0), as far as it is read here. All members are unknown, because anyone who
 * may invoke the function can send any event.
 * Source: "Invoking Lambda function URLs" in the Lambda developer guide.
 */
export type UrlEvent = {
  readonly rawPath?: unknown
  readonly rawQueryString?: unknown
  readonly headers?: unknown
  readonly cookies?: unknown
  readonly body?: unknown
  readonly isBase64Encoded?: unknown
  readonly requestContext?: { readonly domainName?: unknown; readonly http?: { readonly method?: unknown } }
}

type Head = {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string>>
  readonly cookies: readonly string[]
}

export type UrlAnswer = Head & { readonly body: string; readonly isBase64Encoded: boolean }

type App = { readonly fetch: (request: Request, env: ApiEnv['Bindings']) => Response | Promise<Response> }

/** The stream to which a response is written. */
type Out = Pick<Writable, 'write' | 'end' | 'once'>

type Handler = (event: UrlEvent) => Promise<UrlAnswer>

/** The functions of Lambda's runtime for response streaming. Source: "Response streaming for Lambda functions". */
type Streaming = {
  readonly streamifyResponse: (run: (event: UrlEvent, out: Out) => Promise<void>) => Handler
  readonly HttpResponseStream: { readonly from: (out: Out, head: Head) => Out }
}

/**
 * Returns a Lambda handler that runs a Hono app behind a function URL. It streams responses if the runtime supports it, for a URL with
 * `invokeMode: RESPONSE_STREAM`. The app also answers an event that is not a valid request: it receives the fault as `c.env.fault`, and reports
 * it after its ordinary checks.
 *
 * @example export const handler = handleUrl(app)
 */
export function handleUrl(app: App): Handler {
  const { awslambda } = globalThis as unknown as { readonly awslambda?: Partial<Streaming> }
  const { streamifyResponse, HttpResponseStream } = awslambda ?? {}
  if (streamifyResponse === undefined || HttpResponseStream === undefined)
    return async (event) => toAnswer(await run(app, event))
  return streamifyResponse(async (event, out) => {
    const response = await run(app, event)
    const answer = HttpResponseStream.from(out, toHead(response))
    // The runtime sends the head with the first write.
    answer.write('')
    if (response.body !== null) await pass(response.body, answer)
    answer.end()
  })
}

async function run(app: App, event: UrlEvent): Promise<Response> {
  const { request, ...env } = toRequest(event)
  try {
    return await app.fetch(request, env)
  } catch (error) {
    // A Hono app rejects only if a thrown value is not an Error.
    logApi({
      level: 'error',
      code: 'functions.api.failed',
      message: 'the API failed to answer a request',
      error: describeError(error),
    })
    return problemResponse('internal', 'The API failed; its log has the cause.')
  }
}

/** Converts an event to a request. For an invalid event, returns the closest possible request, with the fault. */
function toRequest(given: unknown): { readonly request: Request } & ApiEnv['Bindings'] {
  const event = (typeof given === 'object' && given !== null ? given : {}) as UrlEvent
  const headers = new Headers()
  const hasInvalidHeader = setHeaders(headers, event)
  const method = event.requestContext?.http?.method
  const address = toAddress(event)
  const bad = (detail: string, code: 'bad-request' | 'method-not-allowed' = 'bad-request') => ({
    request: new Request(address ?? `${NOWHERE}/`, { headers }),
    fault: { code, detail },
  })
  if (typeof method !== 'string' || typeof event.rawPath !== 'string')
    return bad('The event is not a request to a function URL (payload format 2.0).')
  if (address === undefined) return bad('The URL of the request is invalid.')
  if (hasInvalidHeader) return bad('A header of the request is invalid.')
  if (!METHODS.has(method)) return bad('This path does not support the method.', 'method-not-allowed')
  const body = toBody(event)
  if (body === undefined) return bad('The body of the request is not valid base64, although isBase64Encoded is set.')
  if (body.length > 0) headers.set('content-length', String(body.length))
  // A GET or HEAD request cannot have a body. `content-length` still shows that there was one.
  const hasNoBody = body.length === 0 || method === 'GET' || method === 'HEAD'
  return { request: new Request(address, { method, headers, ...(hasNoBody ? {} : { body }) }) }
}

const NOWHERE = 'https://localhost'

/** The methods that are accepted. `Request` rejects some others, such as TRACE. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

function toAddress({ rawPath, rawQueryString, requestContext }: UrlEvent): string | undefined {
  if (typeof rawPath !== 'string') return undefined
  // `#` and `?` in `rawPath` belong to the path, because Lambda has already separated the query.
  const path = `/${rawPath.replace(/^\//, '').replaceAll('#', '%23').replaceAll('?', '%3F')}`
  const query =
    typeof rawQueryString === 'string' && rawQueryString !== '' ? `?${rawQueryString.replaceAll('#', '%23')}` : ''
  const host = requestContext?.domainName
  const origin = typeof host === 'string' ? URL.parse(`https://${host}`)?.origin : undefined
  return URL.parse(`${origin ?? NOWHERE}${path}${query}`)?.href
}

/** Sets the headers of the event. Returns whether one of them is invalid. */
function setHeaders(headers: Headers, event: UrlEvent): boolean {
  const given = typeof event.headers === 'object' && event.headers !== null ? Object.entries(event.headers) : []
  const cookies = Array.isArray(event.cookies) && event.cookies.length > 0 ? [['cookie', event.cookies.join('; ')]] : []
  let isInvalid = false
  for (const [name = '', value] of [...given, ...cookies] as [string, unknown][]) {
    if (value === null || value === undefined) continue
    try {
      // Lambda decodes the bytes of a header as UTF-8, but `Headers` accepts only bytes, so other characters are percent-encoded.
      if (typeof value !== 'string') isInvalid = true
      else
        headers.append(
          name,
          value.replace(/[^\0-\x7f]+/g, (text) => encodeURIComponent(text.toWellFormed())),
        )
    } catch {
      isInvalid = true
    }
  }
  return isInvalid
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Reads the body of the event. Returns undefined if it is not text, or not base64 although it is declared as base64. */
function toBody({ body, isBase64Encoded }: UrlEvent): Uint8Array<ArrayBuffer> | undefined {
  if (body === undefined || body === null) return new Uint8Array()
  if (typeof body !== 'string') return undefined
  if (isBase64Encoded !== true) return new TextEncoder().encode(body)
  return BASE64.test(body) ? fromBase64(body) : undefined
}

function toHead(response: Response): Head {
  const headers = Object.fromEntries([...response.headers].filter(([name]) => name !== 'set-cookie'))
  return { statusCode: response.status, headers, cookies: response.headers.getSetCookie() }
}

async function toAnswer(response: Response): Promise<UrlAnswer> {
  const bytes = new Uint8Array(await response.arrayBuffer())
  const text = toText(bytes)
  return { ...toHead(response), body: text ?? toBase64(bytes), isBase64Encoded: text === undefined }
}

/** Writes a response body chunk by chunk, with back-pressure. An error in the middle fails the invocation, and Lambda truncates the response. */
async function pass(body: ReadableStream<Uint8Array>, out: Out): Promise<void> {
  let isClosed = false
  let resume = () => {}
  out.once('close', () => {
    isClosed = true
    resume()
  })
  for await (const chunk of body) {
    if (isClosed) return
    if (out.write(chunk)) continue
    await new Promise<void>((resolve) => {
      resume = resolve
      out.once('drain', resolve)
    })
  }
}

/** The build sets this in a function's bundle: the folder of the console's files, relative to the bundle. */
declare const ENIGMA_CONSOLE: string | undefined

/** The folder of the console's files: next to the API's bundle, or `dist/console` in the npm package. */
const FOLDER = new URL(typeof ENIGMA_CONSOLE === 'string' ? ENIGMA_CONSOLE : '../console/', import.meta.url)

const ENDINGS = { br: '.br', gzip: '.gz' } as const

/**
 * Returns the console's files from a folder that the build wrote. Each file is read when it is requested.
 *
 * @param folder a file URL with a trailing slash
 * @example createApi({ read: store.read, token, console: readConsole() })
 */
export function readConsole(folder: URL = FOLDER): ConsoleFiles {
  let table: Promise<ConsoleTable> | undefined
  const readTable = async (): Promise<ConsoleTable> => {
    try {
      return JSON.parse(await readFile(new URL('files.json', folder), 'utf8')) as ConsoleTable
    } catch (error) {
      // The next request tries again.
      table = undefined
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
      throw error
    }
  }
  return {
    table: () => (table ??= readTable()),
    read: (name, encoding) => readFile(new URL(name + (encoding === undefined ? '' : ENDINGS[encoding]), folder)),
  }
}
