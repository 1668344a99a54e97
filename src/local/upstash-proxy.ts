import { Hono, type Context } from 'hono'
import { createClient, RESP_TYPES } from 'redis'
import { serveApp } from './http-server.ts'
import { wordsOf } from './street-error.ts'
import { createGuard, toLimitError, type UpstashLimits } from './upstash-limits.ts'

export type UpstashProxyOptions = UpstashLimits & {
  /** The Redis behind it. */
  readonly redisUrl: string
  /** What requests must bear. */
  readonly token: string
  /** TCP port on 127.0.0.1. Default 0: any free one. */
  readonly port?: number
}

type Answer = { result: unknown } | { error: string }

/**
 * Upstash's HTTP in front of a real Redis. Speaks its REST API: `POST /` one command, `/pipeline` and `/multi-exec` several; `Authorization: Bearer`; results in
 * base64 when `Upstash-Encoding` asks for it; refuses what Upstash would refuse. Source: https://upstash.com/docs/redis/features/restapi
 */
export async function startUpstashProxy(options: UpstashProxyOptions) {
  const { redisUrl, token, port = 0, maxRequestBytes = 1_048_576 } = options
  const { maxCommandsPerSecond = 10_000, maxCommands = Infinity } = options
  const guard = createGuard(options)
  const client = createClient({ url: redisUrl, RESP: 2, disableOfflineQueue: true })
  client.on('error', () => undefined)
  await client.connect()
  const bytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer, [RESP_TYPES.SIMPLE_STRING]: String })
  /** How many requests there were, the bytes of the largest, and of all requests and replies. */
  const seen = { requests: 0, largestBytes: 0, requestBytes: 0, replyBytes: 0 }

  const run = async (command: unknown): Promise<Answer> => {
    if (!Array.isArray(command) || command.length === 0) return { error: 'ERR failed to parse command' }
    try {
      return { result: await bytes.sendCommand(guard(command.map(String))) }
    } catch (error) {
      return { error: wordsOf(error) }
    }
  }
  const toSizeError = (actual: number) =>
    toLimitError('request size', maxRequestBytes, actual, 'max_request_size_exceeded')
  const used = { all: 0, second: 0, inSecond: 0 }
  /** Counts the commands of a request; answers the limit that they are over. */
  const count = (body: unknown): { limit: number; actual: number } | undefined => {
    const commands = Array.isArray(body) ? body.length : 1
    const second = Math.floor(Date.now() / 1000)
    used.inSecond = (used.second === second ? used.inSecond : 0) + commands
    used.second = second
    used.all += commands
    if (used.inSecond > maxCommandsPerSecond) return { limit: maxCommandsPerSecond, actual: used.inSecond }
    return used.all > maxCommands ? { limit: maxCommands, actual: used.all } : undefined
  }

  const read = (c: Context): Promise<unknown> => c.req.json().catch(() => undefined)
  const app = new Hono()
  app.use(async (c, next) => {
    if (c.req.header('authorization') !== `Bearer ${token}`)
      return c.json({ error: 'WRONGPASS invalid or missing auth token' }, 401)
    const body = await c.req.arrayBuffer()
    seen.requests++
    seen.requestBytes += body.byteLength
    seen.largestBytes = Math.max(seen.largestBytes, body.byteLength)
    if (body.byteLength > maxRequestBytes) return c.json({ error: toSizeError(body.byteLength) }, 413)
    const usage = count(c.req.path === '/' ? undefined : await read(c))
    if (usage !== undefined) {
      const error = `ERR max requests limit exceeded. Limit: ${usage.limit}, Usage: ${usage.actual}. See https://upstash.com/docs/redis/troubleshooting/max_requests_limit for details`
      return c.json({ error }, 429)
    }
    return next()
  })
  const answer = (c: Context, given: unknown, status: 200 | 400 = 200): Response => {
    const text = JSON.stringify(given)
    const size = Buffer.byteLength(text)
    seen.replyBytes += size
    // "If you try to load all elements in the list with a single request then it can throw" (max_request_size_exceeded).
    if (size > maxRequestBytes) return c.json({ error: toSizeError(size) }, 400)
    return c.body(text, status, { 'content-type': 'application/json' })
  }
  const toAnswer = (c: Context, own: Answer): Answer =>
    'error' in own ? own : { result: encode(own.result, c.req.header('upstash-encoding') === 'base64') }
  app.post('/', async (c) => {
    const own = await run(await read(c))
    return answer(c, toAnswer(c, own), 'error' in own ? 400 : 200)
  })
  app.post('/pipeline', async (c) => {
    const commands = await read(c)
    if (!Array.isArray(commands)) return c.json({ error: 'ERR failed to parse pipeline request' }, 400)
    return answer(
      c,
      (await Promise.all(commands.map(run))).map((own) => toAnswer(c, own)),
    )
  })
  app.post('/multi-exec', async (c) => {
    const commands = await read(c)
    if (!Array.isArray(commands)) return c.json({ error: 'ERR failed to parse multi-exec request' }, 400)
    const multi = bytes.multi()
    for (const command of commands as unknown[][]) multi.addCommand(guard(command.map(String)))
    try {
      return answer(
        c,
        (await multi.exec()).map((result) => toAnswer(c, { result })),
      )
    } catch (error) {
      return c.json({ error: wordsOf(error) }, 400)
    }
  })

  const { url, stop } = await serveApp(app, port)
  return {
    url,
    seen,
    stop: async () => {
      await stop()
      client.destroy()
    },
  }
}

/** Texts in base64 when asked for, but for status replies such as `OK`, as Upstash does. */
function encode(reply: unknown, base64: boolean): unknown {
  if (Buffer.isBuffer(reply)) return reply.toString(base64 ? 'base64' : 'utf8')
  return Array.isArray(reply) ? reply.map((element) => encode(element, base64)) : reply
}
