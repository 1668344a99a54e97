import { type Outcomes, toBytes } from '../protocol/index.ts'
import { EXPIRIES, type Expiries, sha1 } from './document.ts'
import type { Effect } from './effect.ts'
import { toCdrId } from './effects/cdr-effects.ts'
import { toOutcomeEffects } from './effects/park-effects.ts'
import { createReads, type Reads } from './reads/reads.ts'
import { APPLY, argumentsOf, keysOf, step, type Step } from './steps.ts'
import { StoreError } from './store-errors.ts'
import { createUpstash, type UpstashOptions } from './upstash.ts'

export type StoreOptions = UpstashOptions & {
  /** Precedes every key, so that several stacks can share a database. Default `enigma:`. */
  readonly prefix?: string
  readonly expiries?: Partial<Expiries>
  /** Maximum bytes of a request. Default 900,000, because Upstash accepted 1 MB until 2025, and accepts 10 MB since. */
  readonly maxRequestBytes?: number
  readonly now?: () => number
  /** How long (s) a call is shown as current if nothing reports its end. Default 7,200: two hours. */
  readonly callLimitSeconds?: number
  /** The time zone in which the day of today's figures begins, from the IANA database: `Africa/Johannesburg`. Default `UTC`. */
  readonly timeZone?: string
}

const DEFAULT_CALL_LIMIT_SECONDS = 2 * 3600

/**
 * The effects that the handlers of a batch recorded, the outcomes of its notifications, and the finished ids to remember for redelivered
 * messages.
 */
export type StoreBatch = Partial<Outcomes> & {
  readonly effects: readonly Effect[]
  readonly done: ReadonlyMap<string, readonly string[]>
}

export type Store = {
  /**
   * Writes a batch in one round trip. A batch that exceeds `maxRequestBytes`, or would block the database for long, is written in
   * several requests, in order. @throws StoreError
   */
  commit: (batch: StoreBatch) => Promise<void>
  /** Returns the finished ids (`done`) of these SQS messages, in one round trip. @throws StoreError */
  recall: (messageIds: readonly string[]) => Promise<Map<string, Set<string>>>
  readonly read: Reads
}

/** The part of the store that a handler's batch needs. */
export type StoreWriter = Pick<Store, 'commit' | 'recall'>

/**
 * Creates the read model in Upstash Redis, or in any database that supports its HTTP API.
 *
 * @example
 * const { UPSTASH_REDIS_REST_URL: url = '', UPSTASH_REDIS_REST_TOKEN: token = '' } = process.env
 * const store = createStore({ url, token })
 * await store.commit({ effects: [agentStatus(status)], done: new Map() })
 * await store.read.agent('1002')
 * @throws StoreError `store.address.missing`
 */
export function createStore(options: StoreOptions): Store {
  const settings = withDefaults(options)
  const { upstash, prefix, now, expiries } = settings
  const { callLimitSeconds = DEFAULT_CALL_LIMIT_SECONDS, timeZone = 'UTC' } = options
  return {
    ...createWriter(settings),
    read: createReads({ upstash, prefix, now, expiries, callLimitSeconds, timeZone }),
  }
}

/**
 * Creates the store without its reads, so that the bundle of a function that only writes is smaller. @throws StoreError
 * `store.address.missing`
 */
export function createStoreWriter(options: StoreOptions): StoreWriter {
  return createWriter(withDefaults(options))
}

function withDefaults(options: StoreOptions) {
  const { prefix = 'enigma:', maxRequestBytes = 900_000, now = Date.now } = options
  return {
    upstash: createUpstash(options),
    prefix,
    maxRequestBytes,
    now,
    expiries: { ...EXPIRIES, ...options.expiries },
  }
}

function createWriter({
  upstash,
  prefix,
  maxRequestBytes,
  now,
  expiries,
}: ReturnType<typeof withDefaults>): StoreWriter {
  const seconds = Object.entries(expiries)
    .map(([of, value]) => `${of}=${value}`)
    .join(' ')
  const overhead = sizeOf([APPLY]) + 500
  const secretKey = `${prefix}cdr_secret`
  let secret: Promise<string> | undefined
  const readSecret = async (): Promise<string> => {
    const [, reply] = await upstash.readAll([
      ['SET', secretKey, crypto.randomUUID(), 'NX', 'EX', String(expiries.cdr)],
      ['GET', secretKey],
    ])
    if (typeof reply === 'string') return reply
    throw new StoreError('store.upstash.unexpected_reply', 'the read model did not store the secret for its CDR ids')
  }
  /** Returns the secret of this database, from which the ids of CDRs are derived. Reads it once. */
  const secretOf = (): Promise<string> => {
    secret ??= readSecret().catch((error: unknown) => {
      secret = undefined
      throw error
    })
    return secret
  }

  const apply = async (steps: readonly Step[], isAgain = false): Promise<void> => {
    const own = steps.some(({ name }) => name === 'cdr') ? await secretOf() : ''
    const named = own === '' ? steps : await Promise.all(steps.map((one) => replaceCdrKey(one, own)))
    const documents = ['upkeep', ...(own === '' ? [] : ['cdr_secret']), ...new Set(named.flatMap(keysOf))]
    const args = named.flatMap((one) => {
      const values = argumentsOf(one)
      return [one.name, String(values.length), ...values]
    })
    const [keys, head] = [
      documents.map((name) => prefix + name),
      [prefix, String(now()), seconds, own, String(documents.length)],
    ]
    const applied = `applied ${steps.length}`
    if ((await upstash.run(APPLY, keys, [...head, ...args], [applied, UNKNOWN_SECRET])) === applied) return
    if (isAgain)
      throw new StoreError('store.upstash.unexpected_reply', 'the read model did not store the secret for its CDR ids')
    // The database was emptied or replaced.
    secret = undefined
    await apply(steps, true)
  }

  // No two commits of this process use the same place, so parked notifications keep their order.
  let nextPlaceMs = 0
  return {
    async commit(batch) {
      const { parked = [], failed = [], replayed = [] } = batch
      const nowMs = now()
      const placeMs = Math.max(nowMs, nextPlaceMs)
      if (parked.length > 0) nextPlaceMs = placeMs + Math.ceil(parked.length / 4_096)
      const outcomes = await toOutcomeEffects({ parked, failed, replayed }, nowMs, placeMs)
      const steps = [...batch.effects, ...outcomes].flatMap((effect) => effect.steps)
      // In portions, so that the finished ids of a whole batch fit.
      for (const [message, ids] of batch.done)
        for (let at = 0; at < ids.length; at += 1_000) steps.push(step('done', { message }, ids.slice(at, at + 1_000)))
      for (const portion of toPortions(steps, maxRequestBytes - overhead)) await apply(portion)
    },
    async recall(messageIds) {
      const replies = await upstash.readAll(messageIds.map((id) => ['SMEMBERS', `${prefix}done:${id}`]))
      return new Map(messageIds.map((id, index) => [id, new Set(replies[index] as string[])]))
    },
  }
}

/** Returns the bytes of these texts in the JSON of a request. */
function sizeOf(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + toBytes(JSON.stringify(text)).length + 1, 0)
}

/** The reply of the script if ids were derived from a secret that the database does not have. */
const UNKNOWN_SECRET = 'another secret'

/**
 * Replaces the key of a CDR by its id. The key contains a phone number. The id must neither reveal that number nor confirm a guess, so the
 * id is a digest of the key and a secret of this database.
 */
async function replaceCdrKey(one: Step, secret: string): Promise<Step> {
  if (one.name !== 'cdr') return one
  const id = toCdrId(await sha1(secret + (one.values['id'] ?? '')))
  return { ...one, values: { ...one.values, id } }
}

/**
 * How long a script may block the database, in units of one status (some 70 µs): about two milliseconds, even with millions of CDRs and
 * many earlier calls. Each further script costs three commands and a round trip, so portions are no smaller than necessary.
 */
const MAX_WORK = 30

const WORK: Partial<Record<Step['name'], number>> = { call: 6, cdr: 4 }

/** Splits steps into portions, in order. A script applies one portion. */
function* toPortions(steps: readonly Step[], maxBytes: number): Generator<Step[]> {
  let portion: Step[] = []
  let [bytes, work] = [0, 0]
  for (const one of steps) {
    const size = sizeOf(argumentsOf(one)) + sizeOf(keysOf(one)) + MAX_KEYS_BYTES
    const own = WORK[one.name] ?? 1
    if (portion.length > 0 && (bytes + size > maxBytes || work + own > MAX_WORK)) {
      yield portion
      portion = []
      bytes = work = 0
    }
    portion.push(one)
    bytes += size
    work += own
  }
  if (portion.length > 0) yield portion
}

/** Maximum bytes of a step's name and of the prefixes of its keys. */
const MAX_KEYS_BYTES = 500
