import { Redis } from '@upstash/redis'
import { isObject, maskText } from '../protocol/index.ts'
import { StoreError } from './store-errors.ts'
import { sha1 } from './document.ts'

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
  // A fixed address that is wrong is said at once, not at the first request.
  if (!('address' in options)) clientOf(options)

  const attempt = async <T>(send: (client: Redis) => Promise<T>): Promise<T> => {
    let address = await addressOf()
    for (let failures = 1, isRenewed = false; ; failures++) {
      try {
        return await send(clientOf(address))
      } catch (error) {
        const failure = toStoreError(error)
        const { token } = address
        if (failure.code === 'store.upstash.unauthorized' && !isRenewed) {
          isRenewed = true
          address = await addressOf(token)
          if (address.token !== token) continue
        }
        if (!failure.retryable || failures >= tries) throw failure
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 100 * 2 ** failures))
      }
    }
  }

  const evaluate = async (
    client: Redis,
    script: string,
    keys: readonly string[],
    args: readonly string[],
  ): Promise<unknown> => {
    const digest = known.get(script)
    if (digest === undefined || forgotten >= MAX_FORGOTTEN) {
      const [reply, its] = await Promise.all([client.eval(script, [...keys], [...args]), sha1(script)])
      known.set(script, its)
      return reply
    }
    try {
      return await client.evalsha(digest, [...keys], [...args])
    } catch (error) {
      if (!(error instanceof Error) || !/^[^[]{0,40}\bNOSCRIPT\b/.test(error.message)) throw error
      // Restarted, or another one in its place. One that forgets each time gets the script each time.
      forgotten++
      return client.eval(script, [...keys], [...args])
    }
  }
  const readAll = async (commands: readonly Command[]): Promise<unknown[]> => {
    if (commands.length === 0) return []
    try {
      return await attempt(async (client) => {
        // Its own pipeline has a method for each command; this takes any.
        const replies: unknown = await client['client'].request({ path: ['pipeline'], body: commands })
        if (!isReplies(replies) || replies.length !== commands.length)
          throw new StoreError('store.upstash.unexpected_reply', NOT_ITS_REPLY)
        return replies.map(({ result, error }) => {
          if (typeof error === 'string') throw toRefusal(error)
          return result
        })
      })
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'store.upstash.too_large') throw error
      const [command = []] = commands
      if (commands.length > 1) {
        const half = Math.ceil(commands.length / 2)
        return [...(await readAll(commands.slice(0, half))), ...(await readAll(commands.slice(half)))]
      }
      const [name = '', ...keys] = command
      if (name !== 'MGET' || keys.length === 1) throw error
      const half = Math.ceil(keys.length / 2)
      const halves = await Promise.all([
        readAll([[name, ...keys.slice(0, half)]]),
        readAll([[name, ...keys.slice(half)]]),
      ])
      return [halves.flat(2)]
    }
  }

  return {
    /**
     * Sends one script: one command, one round trip. The script goes along the first time, which makes the database know it, and then only
     * its digest does: a script is larger than most of what it writes. Returns the one of the expected replies that came; any other is a failure.
     */
    run: (
      script: string,
      keys: readonly string[],
      args: readonly string[],
      expected: readonly string[],
    ): Promise<string> =>
      attempt(async (client) => {
        const reply = await evaluate(client, script, keys, args)
        if (typeof reply === 'string' && expected.includes(reply)) return reply
        throw new StoreError('store.upstash.unexpected_reply', NOT_ITS_REPLY)
      }),
    /**
     * Sends several reads in one request; a reply larger than the plan allows is asked for in halves. A hash comes as a flat list of
     * names and values.
     */
    readAll,
    /** The texts under these keys, in their order; null where there is none. */
    readTexts: async (keys: readonly string[]): Promise<(string | null)[]> =>
      keys.length === 0 ? [] : ((await readAll([['MGET', ...keys]])) as [(string | null)[]])[0],
  }
}

type Reply = { readonly result?: unknown; readonly error?: string }

const isReplies = (value: unknown): value is Reply[] =>
  Array.isArray(value) &&
  value.every((one: unknown) => isObject(one) && (typeof one['error'] === 'string' || 'result' in one))

const NOT_ITS_REPLY = "the reply did not come from the read model's script; check UPSTASH_REDIS_REST_URL"

/** @throws StoreError `store.address.missing` */
function createClient({ url, token }: UpstashAddress, timeoutMs: number): Redis {
  if (!/^https?:\/\/\S+$/.test(url) || token.trim() === '') {
    throw new StoreError(
      'store.address.missing',
      'the read model has no URL or no token; set UPSTASH_REDIS_REST_URL (https://…) and UPSTASH_REDIS_REST_TOKEN',
    )
  }
  return new Redis({
    url,
    token: token.trim(),
    retry: { retries: 0 },
    automaticDeserialization: false,
    // In base64 a text would lose a byte order mark at its beginning, and be longer.
    responseEncoding: false,
    enableTelemetry: false,
    // It would gather commands of one turn in a pipeline, and change the words of their errors.
    enableAutoPipelining: false,
    // A function: then a request that takes too long throws, and does not look like an answer.
    signal: () => AbortSignal.timeout(timeoutMs),
  })
}

/** A database that has forgotten a script so often is not asked whether it knows one. */
const MAX_FORGOTTEN = 3

export type Upstash = ReturnType<typeof createUpstash>

/** The longest part (characters) of the database's own words that an error repeats. */
const MAX_WORDS = 200

/**
 * The database's own words in an error of the client: without the command, which the client appends and a proxy may repeat, without the
 * arguments, which Redis quotes for a command that it does not know, and masked.
 */
function wordsOf(text: string): string {
  const [words = ''] = text.split(/, (?:command was:|with args beginning with:)|[[{]/)
  return maskText(words.replace(/\s+/g, ' ').slice(0, 4 * MAX_WORDS)).slice(0, MAX_WORDS)
}

function toStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error
  const name = error instanceof Error ? error.name : ''
  if (name === 'TimeoutError' || name === 'AbortError')
    return new StoreError('store.upstash.timeout', 'the read model did not answer in time')
  // The client throws the second itself when the reply is JSON of another shape; a failed fetch is a TypeError too.
  if (name === 'UpstashJSONParseError' || (name === 'TypeError' && /\bresult\b/.test((error as Error).message)))
    return new StoreError('store.upstash.unexpected_reply', NOT_ITS_REPLY)
  if (name !== 'UpstashError')
    return new StoreError(
      'store.upstash.unreachable',
      'the read model cannot be reached: check UPSTASH_REDIS_REST_URL and the network',
    )
  // An error status with JSON of another shape.
  if (/^undefined\b/.test((error as Error).message))
    return new StoreError('store.upstash.unexpected_reply', NOT_ITS_REPLY)
  return toRefusal((error as Error).message)
}

/** The database's own error, by its words. */
function toRefusal(text: string): StoreError {
  const words = wordsOf(text)
  const [code, advice] = REFUSALS.find(([, , pattern]) => pattern.test(words)) ?? REFUSED
  return new StoreError(code, `${advice}: ${words}`)
}

/**
 * What the database's words mean. Its limits have a page each: https://upstash.com/docs/redis/troubleshooting. The size of a request
 * comes before the number of requests: their words are much alike.
 */
const REFUSALS: readonly (readonly [code: StoreError['code'], advice: string, pattern: RegExp])[] = [
  [
    'store.upstash.unauthorized',
    'the read model rejected the token; check UPSTASH_REDIS_REST_TOKEN',
    /^(WRONGPASS|Unauthorized|NOAUTH)/i,
  ],
  [
    'store.upstash.too_large',
    'a request or a value is larger than the read model accepts',
    /max [\w ]*size|request too large|payload too large/i,
  ],
  ['store.upstash.full', 'the read model is full and rejects writes; choose a larger plan', /capacity quota|^OOM\b/i],
  [
    'store.upstash.throttled',
    'the read model has reached the request limit of its plan',
    /rate limit|too many requests|max (daily |monthly )?requests?/i,
  ],
]
const REFUSED = ['store.upstash.refused', 'the read model rejected a command'] as const
