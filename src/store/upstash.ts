import { Redis } from '@upstash/redis'
import { toBytes } from '../protocol/index.ts'
import { StoreError } from './errors.ts'

/** Where the database is, and the right to it. */
export type UpstashAddress = {
  /** `UPSTASH_REDIS_REST_URL` */
  readonly url: string
  /** `UPSTASH_REDIS_REST_TOKEN` */
  readonly token: string
}

export type UpstashOptions = (
  | UpstashAddress
  | {
      /** Asked before each request, so it should remember. `refused`: this token is refused; if there is another by now, it is tried once. */
      readonly address: (refused?: string) => Promise<UpstashAddress>
    }
) & {
  /** Longest wait (ms) for an answer; the client itself waits for ever. Default 5,000. */
  readonly timeoutMs?: number
  /** Tries in all, for what may succeed later. Default 3. */
  readonly tries?: number
}

/** A command: all text. */
export type Command = readonly string[]

/**
 * The one place that knows the client and its traps: it has no time limit; `retry: false` still tries twice; it guesses JSON in what
 * it reads; an error's text holds the whole command; and a missing address is only a warning.
 */
export function createUpstash(options: UpstashOptions) {
  const { timeoutMs = 5_000, tries = 3 } = options
  const addressOf = 'address' in options ? options.address : () => Promise.resolve(options)
  let last: { readonly address: UpstashAddress; readonly client: Redis } | undefined
  const known = new Map<string, string>()
  let forgotten = 0
  const clientOf = (address: UpstashAddress): Redis => {
    if (last?.address.url !== address.url || last.address.token !== address.token)
      last = { address, client: createClient(address, timeoutMs) }
    return last.client
  }
  // What is fixed is wrong at once, not at the first request.
  if (!('address' in options)) clientOf(options)

  const attempt = async <T>(send: (client: Redis) => Promise<T>): Promise<T> => {
    let address = await addressOf()
    for (let failures = 1, isRenewed = false; ; failures++) {
      try {
        return await send(clientOf(address))
      } catch (error) {
        const failure = toStoreError(error)
        const { token } = address
        if (failure.code === 'unauthorized' && !isRenewed) {
          isRenewed = true
          address = await addressOf(token)
          if (address.token !== token) continue
        }
        if (!failure.retryable || failures >= tries) throw failure
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 100 * 2 ** failures))
      }
    }
  }

  return {
    /**
     * One script: one command, one round trip. It goes along the first time, which makes the database know it, and then only its
     * digest does: a script is larger than most of what it writes.
     */
    run: (script: string, args: readonly string[]): Promise<unknown> =>
      attempt(async (client) => {
        const digest = known.get(script)
        if (digest === undefined || forgotten >= MOST_FORGOTTEN) {
          const [reply, its] = await Promise.all([client.eval(script, [], [...args]), sha1(script)])
          known.set(script, its)
          return reply
        }
        try {
          return await client.evalsha(digest, [], [...args])
        } catch (error) {
          if (!(error instanceof Error) || !/^[^[]{0,40}\bNOSCRIPT\b/.test(error.message)) throw error
          // Restarted, or another one in its place. One that forgets each time gets the script each time.
          forgotten++
          return client.eval(script, [], [...args])
        }
      }),
    /** Several reads as one command, in one step. A hash comes as a flat list of names and values. */
    readAll: async (commands: readonly Command[]): Promise<unknown[]> => {
      if (commands.length === 0) return []
      const args = commands.flatMap((command) => [String(command.length), ...command])
      return attempt((client) => client.eval<string[], unknown[]>(READ_ALL, [], args))
    },
  }
}

/** @throws StoreError `not_configured` */
function createClient({ url, token }: UpstashAddress, timeoutMs: number): Redis {
  if (!/^https?:\/\/\S+$/.test(url) || token.trim() === '') {
    throw new StoreError(
      'not_configured',
      'the read model has no address: set UPSTASH_REDIS_REST_URL (https://…) and UPSTASH_REDIS_REST_TOKEN',
    )
  }
  return new Redis({
    url,
    token: token.trim(),
    retry: { retries: 0 },
    automaticDeserialization: false,
    enableTelemetry: false,
    // It would gather commands of one turn in a pipeline, and change the words of their errors.
    enableAutoPipelining: false,
    // A function: then a request that takes too long throws, and does not look like an answer.
    signal: () => AbortSignal.timeout(timeoutMs),
  })
}

/** A database that has forgotten a script so often is not asked whether it knows one. */
const MOST_FORGOTTEN = 3

async function sha1(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-1', new Uint8Array(toBytes(text)))
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

const READ_ALL = `
local replies, at = {}, 1
while at <= #ARGV do
  local command = {}
  for i = 1, tonumber(ARGV[at]) do command[i] = ARGV[at + i] end
  replies[#replies + 1] = redis.call(unpack(command))
  at = at + 1 + #command
end
return replies
`

export type Upstash = ReturnType<typeof createUpstash>

/** The words of the client's error are looked at and not passed on: they hold the command. */
function toStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error
  const name = error instanceof Error ? error.name : ''
  const text = error instanceof Error ? error.message : ''
  if (name === 'TimeoutError' || name === 'AbortError')
    return new StoreError('timeout', 'the read model did not answer in time')
  if (/^(WRONGPASS|Unauthorized|NOAUTH)/i.test(text)) {
    return new StoreError('unauthorized', 'the read model refuses the token: check UPSTASH_REDIS_REST_TOKEN')
  }
  // Before the next: its words, `max request size exceeded`, are much like those of a limit.
  if (/max request size|request too large|payload too large/i.test(text.slice(0, 200))) {
    return new StoreError('too_large', 'a request was over the size that the read model takes')
  }
  if (/rate limit|too many requests|max (daily )?request/i.test(text.slice(0, 200)))
    return new StoreError('throttled', 'the read model is over its request limit')
  if (name === 'UpstashError')
    return new StoreError('refused', `the read model refused a command: ${/^[A-Z]+\b/.exec(text)?.[0] ?? 'ERR'}`)
  if (name === 'UpstashJSONParseError')
    return new StoreError(
      'unreachable',
      'what answers at the address of the read model is not Upstash, or it is broken',
    )
  return new StoreError('unreachable', 'the read model cannot be reached: check UPSTASH_REDIS_REST_URL and the network')
}
