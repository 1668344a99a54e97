import { EXPIRIES, type Expiries, sha1 } from './document.ts'
import { APPLY, argumentsOf, keysOf, step, type Step } from './steps.ts'
import type { Effect } from './effect.ts'
import { toCdrId } from './effects/cdr-effects.ts'
import { toBytes, type Outcomes } from '../protocol/index.ts'
import { StoreError } from './store-errors.ts'
import { toOutcomeEffects } from './effects/park-effects.ts'
import { createReads, type Reads } from './reads/reads.ts'
import { createUpstash, type UpstashOptions } from './upstash.ts'

export type StoreOptions = UpstashOptions & {
  /** Before every key, so that several stacks can share a database. Default `enigma:`. */
  readonly prefix?: string
  readonly expiries?: Partial<Expiries>
  /** Bytes of one request. Default 900,000: Upstash takes 1 MB. */
  readonly maxRequestBytes?: number
  readonly now?: () => number
  /** How long (s) a call is shown as current at most, should nothing say that it ended. Default 7,200: two hours. */
  readonly callLimitSeconds?: number
  /** Where the day of today's figures begins, as in the IANA database: `Africa/Johannesburg`. Default `UTC`. */
  readonly timeZone?: string
}

const CALL_LIMIT_SECONDS = 2 * 3600

/** What handlers of a batch recorded, what came of its notifications, and what is to be remembered of messages that come again. */
export type StoreBatch = Partial<Outcomes> & {
  readonly effects: readonly Effect[]
  readonly done: ReadonlyMap<string, readonly string[]>
}

export type Store = {
  /** Writes a batch in one round trip; one that is over Upstash's limit of 1 MB, or would hold the database up for long, in several, in order. @throws StoreError */
  commit: (batch: StoreBatch) => Promise<void>
  /** What `done` said of these SQS messages; one round trip. @throws StoreError */
  recall: (messageIds: readonly string[]) => Promise<Map<string, Set<string>>>
  readonly read: Reads
}

/** What a handler's batch needs of the read model. */
export type StoreWriter = Pick<Store, 'commit' | 'recall'>

/**
 * The read model, in Upstash Redis or anything that speaks its HTTP.
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
  const { callLimitSeconds = CALL_LIMIT_SECONDS, timeZone = 'UTC' } = options
  return { ...writerOf(settings), read: createReads({ upstash, prefix, now, expiries, callLimitSeconds, timeZone }) }
}

/** The same without the reads: a bundle that only writes is smaller by them. @throws StoreError `store.address.missing` */
export function createStoreWriter(options: StoreOptions): StoreWriter {
  return writerOf(withDefaults(options))
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

function writerOf({ upstash, prefix, maxRequestBytes, now, expiries }: ReturnType<typeof withDefaults>): StoreWriter {
  const seconds = Object.entries(expiries)
    .map(([of, value]) => `${of}=${value}`)
    .join(' ')
  const overhead = sizeOf([APPLY]) + 500
  const secretKey = `${prefix}cdr_secret`
  let secret: Promise<string> | undefined
  const askForSecret = async (): Promise<string> => {
    const [, reply] = await upstash.readAll([
      ['SET', secretKey, crypto.randomUUID(), 'NX', 'EX', String(expiries.cdr)],
      ['GET', secretKey],
    ])
    if (typeof reply === 'string') return reply
    throw new StoreError('store.upstash.unexpected_reply', 'the read model did not store the secret for its CDR ids')
  }
  /** The secret of this database, of which the ids of CDRs are made; asked for once. */
  const secretOf = (): Promise<string> => {
    secret ??= askForSecret().catch((error: unknown) => {
      secret = undefined
      throw error
    })
    return secret
  }

  const apply = async (steps: readonly Step[], isAgain = false): Promise<void> => {
    const own = steps.some(({ name }) => name === 'cdr') ? await secretOf() : ''
    const named = own === '' ? steps : await Promise.all(steps.map((one) => withId(one, own)))
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
    if ((await upstash.run(APPLY, keys, [...head, ...args], [applied, ANOTHER_SECRET])) === applied) return
    if (isAgain)
      throw new StoreError('store.upstash.unexpected_reply', 'the read model did not store the secret for its CDR ids')
    // The database was emptied, or is another one.
    secret = undefined
    await apply(steps, true)
  }

  // No two commits of this process park at the same place, so that what they park keeps its order.
  let nextPlaceMs = 0
  return {
    async commit(batch) {
      const { parked = [], failed = [], replayed = [] } = batch
      const nowMs = now()
      const placeMs = Math.max(nowMs, nextPlaceMs)
      if (parked.length > 0) nextPlaceMs = placeMs + Math.ceil(parked.length / 4_096)
      const outcomes = await toOutcomeEffects({ parked, failed, replayed }, nowMs, placeMs)
      const steps = [...batch.effects, ...outcomes].flatMap((effect) => effect.steps)
      // In portions, so that a whole batch of finished ids fits as well.
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

/** Bytes of these texts in the JSON of a request. */
function sizeOf(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + toBytes(JSON.stringify(text)).length + 1, 0)
}

/** The reply of the script when ids were made of a secret that the database does not have. */
const ANOTHER_SECRET = 'another secret'

/**
 * A CDR's key holds a phone number. Its id must neither show one nor tell whether a guess is right, so it is a digest of the key and of a
 * secret of this database.
 */
async function withId(one: Step, secret: string): Promise<Step> {
  if (one.name !== 'cdr') return one
  const id = toCdrId(await sha1(secret + (one.values['id'] ?? '')))
  return { ...one, values: { ...one.values, id } }
}

/**
 * How long a script may hold the database up, in statuses of some 70 µs each: about two milliseconds, also with millions of CDRs and many earlier calls. Each
 * script more costs three commands and a round trip, so a portion is not smaller than it has to be.
 */
const MAX_WORK = 30

const WORK: Partial<Record<Step['name'], number>> = { call: 6, cdr: 4 }

/** Steps in portions of a script each, in order. */
function* toPortions(steps: readonly Step[], maxBytes: number): Generator<Step[]> {
  let portion: Step[] = []
  let [bytes, work] = [0, 0]
  for (const one of steps) {
    const size = sizeOf(argumentsOf(one)) + sizeOf(keysOf(one)) + KEYS_BYTES
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

/** Bytes of a step's name and of the prefixes of its keys, at most. */
const KEYS_BYTES = 500
