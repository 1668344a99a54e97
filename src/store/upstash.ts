import { Redis } from '@upstash/redis'
import { isObject, maskText } from '../protocol/index.ts'
import { sha1 } from './document.ts'
import { StoreError } from './store-errors.ts'

/** The address of the database and its token. */
export type UpstashAddress = {
  /** `UPSTASH_REDIS_REST_URL` */
  readonly url: string
  /** `UPSTASH_REDIS_REST_TOKEN` */
  readonly token: string
}

export type UpstashOptions = (
  | UpstashAddress
  | {
      /**
       * Returns the address. It is called before each request, so it should cache its result. `refused` is the token that the database
       * rejected; if the function then returns another token, that one is tried once.
       */
      readonly address: (refused?: string) => Promise<UpstashAddress>
    }
) & {
  /** Maximum wait (ms) for a reply; the Upstash client itself has no time limit. Default 5,000. */
  readonly timeoutMs?: number
  /** Maximum number of attempts if an error is retryable. Default 3. */
  readonly tries?: number
}

/** A command and its arguments. */
export type Command = readonly string[]

/**
 * Wraps the Upstash client and works around its behaviour: it has no time limit; `retry: false` still tries twice; it guesses JSON in the
 * values it reads; an error's message contains the whole command; and a missing address is only a warning. No other file uses the client.
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
  // Reports an invalid fixed address at once, not at the first request.
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
      // The database was restarted or replaced. A database that forgets the script every time receives the script every time.
      forgotten++
      return client.eval(script, [...keys], [...args])
    }
  }
  const readAll = async (commands: readonly Command[]): Promise<unknown[]> => {
    if (commands.length === 0) return []
    try {
      return await attempt(async (client) => {
        // The client's own pipeline has one method per command; this accepts any command.
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
     * Runs a script in one command and one round trip. The first request contains the script, which makes the database cache it; later
     * requests contain only its digest, since a script is larger than most batches. Returns the reply if it is one of the expected replies;
     * any other reply is an error.
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
     * Sends several reads in one request. If a reply exceeds the plan's limit, splits the request in half. A hash is returned as a flat
     * list of names and values.
     */
    readAll,
    /** Returns the texts under these keys, in order; null if a key does not exist. */
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
    // Base64 would drop a byte order mark at the beginning of a text, and is longer.
    responseEncoding: false,
    enableTelemetry: false,
    // Auto-pipelining would collect the commands of one event-loop turn, and change the text of their errors.
    enableAutoPipelining: false,
    // As a function, so that a request that takes too long throws; with a signal, the client would return a value that looks like a reply.
    signal: () => AbortSignal.timeout(timeoutMs),
  })
}

/** After a database has forgotten a script this often, every request contains the script. */
const MAX_FORGOTTEN = 3

export type Upstash = ReturnType<typeof createUpstash>

/** Maximum characters of the database's own message that an error repeats. */
const MAX_WORDS = 200

/**
 * Returns the database's own message from an error of the client: masked, without the command, which the client appends and a proxy may
 * repeat, and without the arguments, which Redis quotes for an unknown command.
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
  // The client throws this TypeError if the reply is JSON of another shape; a failed fetch is a TypeError too.
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

/** Converts an error message of the database. */
function toRefusal(text: string): StoreError {
  const words = wordsOf(text)
  const [code, advice] = REFUSALS.find(([, , pattern]) => pattern.test(words)) ?? REFUSED
  return new StoreError(code, `${advice}: ${words}`)
}

/**
 * The meaning of the database's error messages. Each limit has its own page: https://upstash.com/docs/redis/troubleshooting. The size of a
 * request comes before the number of requests, since their messages are similar.
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
