import { Hono, type Context } from 'hono'
import { createHash } from 'node:crypto'
import { createClient, RESP_TYPES } from 'redis'
import { serveApp, wordsOf } from './servers.ts'

export type UpstashProxyOptions = UpstashLimits & {
  /** The Redis behind the proxy. */
  readonly redisUrl: string
  /** The bearer token that requests must have. */
  readonly token: string
  /** TCP port on 127.0.0.1. Default 0: any free one. */
  readonly port?: number
}

type Answer = { result: unknown } | { error: string }

/**
 * Starts a proxy that serves Upstash's REST API in front of a real Redis: `POST /` for one command, `/pipeline` and `/multi-exec` for several,
 * `Authorization: Bearer`, and base64 results if `Upstash-Encoding` asks for them. It enforces Upstash's limits.
 * Source: https://upstash.com/docs/redis/features/restapi
 */
export async function startUpstashProxy(options: UpstashProxyOptions) {
  const { redisUrl, token, port = 0, maxRequestBytes = 1_048_576 } = options
  const { maxCommandsPerSecond = 10_000, maxCommands = Infinity } = options
  const guard = createGuard(options)
  const client = createClient({ url: redisUrl, RESP: 2, disableOfflineQueue: true })
  client.on('error', () => undefined)
  await client.connect()
  const bytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer, [RESP_TYPES.SIMPLE_STRING]: String })
  /** The number of requests, the bytes of the largest one, and the bytes of all requests and replies. */
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
  /** Counts the commands of a request. Returns the limit that they exceed, if any. */
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

/** Encodes texts in base64 if wanted, except status replies such as `OK`, as Upstash does. */
function encode(reply: unknown, base64: boolean): unknown {
  if (Buffer.isBuffer(reply)) return reply.toString(base64 ? 'base64' : 'utf8')
  return Array.isArray(reply) ? reply.map((element) => encode(element, base64)) : reply
}

/**
 * The documented limits of Upstash's smallest plans.
 * Sources: https://upstash.com/docs/redis/overall/billing and the pages of https://upstash.com/docs/redis/troubleshooting.
 */
export type UpstashLimits = {
  /** Maximum bytes of a request, and of a reply. Default 1 MiB, the limit of plans until 2025; current plans have 10 MB. */
  readonly maxRequestBytes?: number
  /** Maximum bytes of a value, a list, a set or a hash. Default 100 MB. */
  readonly maxRecordBytes?: number
  /** Maximum commands per second. A script counts as one. Default 10,000. */
  readonly maxCommandsPerSecond?: number
  /** Maximum number of commands in total. A free plan has 500,000 a month. Default: no limit. */
  readonly maxCommands?: number
  /** Whether names and sizes are checked before each command. The check takes longer than most commands. Default true. */
  readonly isEnforcing?: boolean
  /** Bytes of the database above which commands that add data are refused. A free plan has 256 MB. Default: no limit. */
  readonly maxDataBytes?: number
}

/** Maximum bytes of a key, a member of a set or a sorted set, or a field of a hash. Every plan has the same limit. */
const MAX_NAME_BYTES = 32 * 1024

/** Formats the error as Upstash does. */
export const toLimitError = (limit: string, most: number, actual: number, page: string): string =>
  `ERR max ${limit} exceeded. Limit: ${most} bytes, Actual: ${actual} bytes. See https://upstash.com/docs/redis/troubleshooting/${page} for details`

/** Commands that are not checked: they have no key, or cannot run in a script. */
const UNGUARDED = new Set(['PING', 'ECHO', 'TIME', 'INFO', 'DBSIZE', 'SCRIPT', 'KEYS', 'SCAN', 'FLUSHALL', 'FLUSHDB'])

/**
 * Turns a command into one that Redis refuses where Upstash would. The check runs in Redis, because only there the commands of a script are
 * visible: the variable `redis` of each script becomes a table that checks names and sizes first.
 */
export function createGuard({
  maxRecordBytes = 100 * 1024 * 1024,
  maxDataBytes = Infinity,
  isEnforcing = true,
}: UpstashLimits): (command: readonly string[]) => string[] {
  if (!isEnforcing) return (command) => [...command]
  const guard = GUARD.replace('MAX_NAME', String(MAX_NAME_BYTES))
    .replace('MAX_RECORD', String(maxRecordBytes))
    .replace('MAX_DATA', maxDataBytes === Infinity ? 'false' : String(maxDataBytes))
    .replaceAll('\n', ' ')
  // The digest of the original script → the digest under which Redis knows the checked script.
  const digests = new Map<string, string>()
  return ([name = '', ...args]) => {
    const [script = '', ...rest] = args
    switch (name.toUpperCase()) {
      case 'EVAL':
        digests.set(sha1(script), sha1(guard + script))
        return [name, guard + script, ...rest]
      case 'EVALSHA':
        return [name, digests.get(script.toLowerCase()) ?? script, ...rest]
      default:
        return UNGUARDED.has(name.toUpperCase())
          ? [name, ...args]
          : ['EVAL', `${guard}return redis.call(unpack(ARGV))`, '0', name, ...args]
    }
  }
}

const sha1 = (text: string): string => createHash('sha1').update(text).digest('hex')

const GUARD = `
local redis = (function(real)
  local max_name, max_record, max_data = MAX_NAME, MAX_RECORD, MAX_DATA
  local all_keys = { DEL = 1, UNLINK = 1, EXISTS = 1, TOUCH = 1, MGET = 1 }
  local adds = { SET = 1, SETEX = 1, PSETEX = 1, SETNX = 1, GETSET = 1, MSET = 1, APPEND = 1, SETRANGE = 1, INCR = 1, INCRBY = 1, DECR = 1,
    HSET = 2, HMSET = 2, HSETNX = 2, HINCRBY = 2, HINCRBYFLOAT = 2, SADD = 3, ZADD = 4, ZINCRBY = 5, LPUSH = 1, RPUSH = 1, LSET = 1, XADD = 1 }
  local flags = { NX = 1, XX = 1, GT = 1, LT = 1, CH = 1, INCR = 1 }
  local is_full
  local function refuse(limit, allowed, actual, page)
    error(real.error_reply('ERR max ' .. limit .. ' exceeded. Limit: ' .. allowed .. ' bytes, Actual: ' .. actual
      .. ' bytes. See https://upstash.com/docs/redis/troubleshooting/' .. page .. ' for details'))
  end
  local function check(limit, page, text) if text and #text > max_name then refuse(limit, max_name, #text, page) end end
  local function enforce(command, ...)
    local args, name, bytes = { ... }, string.upper(command), 0
    for i = 1, #args do args[i] = tostring(args[i]) bytes = bytes + #args[i] end
    for i = 1, all_keys[name] and #args or 1 do check('key size', 'max_key_size_exceeded', args[i]) end
    local kind = adds[name]
    if not kind then return end
    if max_data and is_full == nil then
      is_full = tonumber(string.match(real.call('INFO', 'memory'), 'used_memory:(%d+)')) > max_data
    end
    if is_full then error(real.error_reply('ERR DB capacity quota exceeded')) end
    local record = (real.call('MEMORY', 'USAGE', args[1], 'SAMPLES', '1') or 0) + bytes
    if record > max_record then refuse('single record size', max_record, record, 'max_record_size_exceeded') end
    if kind == 2 then
      for i = 2, (name == 'HSET' or name == 'HMSET') and #args or 2, 2 do check('field size', 'max_field_size_exceeded', args[i]) end
    elseif kind == 3 then
      for i = 2, #args do check('member size', 'max_member_size_exceeded', args[i]) end
    elseif kind > 3 then
      local first = 2
      while flags[string.upper(args[first] or '')] do first = first + 1 end
      for i = first + 1, #args, 2 do check('member size', 'max_member_size_exceeded', args[i]) end
    end
  end
  return setmetatable({
    call = function(...) enforce(...) return real.call(...) end,
    pcall = function(...)
      local fine, refusal = pcall(enforce, ...)
      if not fine then return type(refusal) == 'table' and refusal or real.error_reply(refusal) end
      return real.pcall(...)
    end,
  }, { __index = real })
end)(redis)
`
