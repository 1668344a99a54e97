import { Hono, type Context } from 'hono'
import { createHash } from 'node:crypto'
import { createClient, RESP_TYPES } from 'redis'
import { serveApp } from './servers.ts'
import { wordsOf } from './street-error.ts'

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

/**
 * Upstash's documented limits, as its smallest plans have them.
 * Sources: https://upstash.com/docs/redis/overall/billing and the pages of https://upstash.com/docs/redis/troubleshooting.
 */
export type UpstashLimits = {
  /** Bytes of a request, and of a reply. Default 1 MiB, as plans had it until 2025; today's take 10 MB. */
  readonly maxRequestBytes?: number
  /** Bytes of a value, a list, a set or a hash. Default 100 MB. */
  readonly maxRecordBytes?: number
  /** Commands in a second; a script is one. Default 10,000. */
  readonly maxCommandsPerSecond?: number
  /** Commands in all; a free plan has 500,000 a month. Default: no limit. */
  readonly maxCommands?: number
  /** Whether names and sizes are looked at before each command. Default true; it takes longer than most commands. */
  readonly isEnforcing?: boolean
  /** Bytes of the database; over it, commands that add are refused. A free plan has 256 MB. Default: no limit. */
  readonly maxDataBytes?: number
}

/** Bytes of a key, a member of a set or a sorted set, or a field of a hash. The same for every plan. */
const MOST_NAME_BYTES = 32 * 1024

/** Text in Upstash's own words. */
export const toLimitError = (limit: string, most: number, actual: number, page: string): string =>
  `ERR max ${limit} exceeded. Limit: ${most} bytes, Actual: ${actual} bytes. See https://upstash.com/docs/redis/troubleshooting/${page} for details`

/** Commands that Redis runs as they come: they have no key, or cannot run in a script. */
const UNGUARDED = new Set(['PING', 'ECHO', 'TIME', 'INFO', 'DBSIZE', 'SCRIPT', 'KEYS', 'SCAN', 'FLUSHALL', 'FLUSHDB'])

/**
 * Turns a command into one that a Redis refuses where Upstash would. Commands are checked in Redis itself, since those of a script are
 * visible only there: `redis` of each script is a table that looks at names and sizes first.
 */
export function createGuard({
  maxRecordBytes = 100 * 1024 * 1024,
  maxDataBytes = Infinity,
  isEnforcing = true,
}: UpstashLimits): (command: readonly string[]) => string[] {
  if (!isEnforcing) return (command) => [...command]
  const guard = GUARD.replace('MOST_NAME', String(MOST_NAME_BYTES))
    .replace('MOST_RECORD', String(maxRecordBytes))
    .replace('MOST_DATA', maxDataBytes === Infinity ? 'false' : String(maxDataBytes))
    .replaceAll('\n', ' ')
  // By the digest of a script as it came: the one that Redis knows it by.
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
  local most, most_record, most_data = MOST_NAME, MOST_RECORD, MOST_DATA
  local all_keys = { DEL = 1, UNLINK = 1, EXISTS = 1, TOUCH = 1, MGET = 1 }
  local adds = { SET = 1, SETEX = 1, PSETEX = 1, SETNX = 1, GETSET = 1, MSET = 1, APPEND = 1, SETRANGE = 1, INCR = 1, INCRBY = 1, DECR = 1,
    HSET = 2, HMSET = 2, HSETNX = 2, HINCRBY = 2, HINCRBYFLOAT = 2, SADD = 3, ZADD = 4, ZINCRBY = 5, LPUSH = 1, RPUSH = 1, LSET = 1, XADD = 1 }
  local flags = { NX = 1, XX = 1, GT = 1, LT = 1, CH = 1, INCR = 1 }
  local is_full
  local function refuse(limit, allowed, actual, page)
    error(real.error_reply('ERR max ' .. limit .. ' exceeded. Limit: ' .. allowed .. ' bytes, Actual: ' .. actual
      .. ' bytes. See https://upstash.com/docs/redis/troubleshooting/' .. page .. ' for details'))
  end
  local function check(limit, page, text) if text and #text > most then refuse(limit, most, #text, page) end end
  local function look(command, ...)
    local args, name, bytes = { ... }, string.upper(command), 0
    for i = 1, #args do args[i] = tostring(args[i]) bytes = bytes + #args[i] end
    for i = 1, all_keys[name] and #args or 1 do check('key size', 'max_key_size_exceeded', args[i]) end
    local kind = adds[name]
    if not kind then return end
    if most_data and is_full == nil then
      is_full = tonumber(string.match(real.call('INFO', 'memory'), 'used_memory:(%d+)')) > most_data
    end
    if is_full then error(real.error_reply('ERR DB capacity quota exceeded')) end
    local record = (real.call('MEMORY', 'USAGE', args[1], 'SAMPLES', '1') or 0) + bytes
    if record > most_record then refuse('single record size', most_record, record, 'max_record_size_exceeded') end
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
    call = function(...) look(...) return real.call(...) end,
    pcall = function(...)
      local fine, refusal = pcall(look, ...)
      if not fine then return type(refusal) == 'table' and refusal or real.error_reply(refusal) end
      return real.pcall(...)
    end,
  }, { __index = real })
end)(redis)
`
