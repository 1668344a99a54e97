import { createNews, sleep, type Code, type Logger } from '../../runtime/index.ts'
import type { SourceConfig } from '../config.ts'
import { RelayError } from '../errors.ts'
import { SOURCE_KEY } from './keys.ts'
import { LEASE_MS } from './lease.ts'
import type { Redis } from './client.ts'
import { isAnswer, isDenied, judgeRedis, sentenceOf, type RedisFault } from './advice.ts'
import { redisCli } from './address.ts'

/**
 * A source id is part of every id of a notification: a server that is read by two names, by one relay or by several, is sent twice. So its
 * name is kept in the server, where every relay finds it before it takes or hears anything. It is kept in database 0, since all databases
 * share one PubSub; with the number of the database, since the numbers of claims do not go beyond one.
 */
export const identityOf = ({ id, url }: SourceConfig): string => {
  const database = databaseOf(url)
  return database === '0' ? id : `${id}/${database}`
}

const databaseOf = (url: string): string => String(Number(new URL(url).pathname.slice(1) || 0))

/** Asks a server for its name. @throws what Redis answers, or the connection throws */
export async function askIdentity(
  client: Redis,
  source: SourceConfig,
  mayWrite: boolean,
): Promise<{ name: string; why: string }> {
  const [name, why] = (await client.identify({
    name: identityOf(source),
    database: databaseOf(source.url),
    mayWrite: mayWrite ? 1 : 0,
  })) as [name: string, why: string]
  return { name, why }
}

/** What tells this process of the server from all others; undefined when it does not say. */
export async function askRunId(client: Redis): Promise<string | undefined> {
  const info = await client.info('server').catch(() => '')
  return /^run_id:(\w+)/m.exec(info)?.[1]
}

/** Why a server is not read by this name, and what mends it. */
export type Refusal = {
  readonly event: 'other_name' | 'same_server' | 'other_database'
  readonly text: string
  readonly fix: string
}

/**
 * Undefined when a server that is called `name` may be read as this source.
 *
 * @param isSibling whether another source of this relay, as far as is known, reads this very server
 */
export function judgeIdentity(
  source: SourceConfig,
  isSibling: (id: string) => boolean,
  name: string,
): Refusal | undefined {
  if (name === identityOf(source)) return undefined
  const [id = '', database = '0'] = name.split('/')
  const { protocol, host } = new URL(source.url)
  const address = `${protocol}//${host}${database === '0' ? '' : `/${database}`}`
  if (isSibling(id)) return sameServer(source.id, id)
  if (id === source.id)
    return {
      event: 'other_database',
      text: `relays read database ${database} of this Redis, but source "${source.id}" names database ${databaseOf(source.url)}; all databases share one Pub/Sub, so every Pub/Sub notification would be sent twice`,
      fix: `write ${id}=${address} in ENIGMA_SOURCES`,
    }
  return {
    event: 'other_name',
    text: `other relays use the source id "${id}" for this Redis, but this relay uses "${source.id}"; every notification would be sent twice, under two ids`,
    fix: `write ${id}=${address} in ENIGMA_SOURCES; to rename the source instead, wait until "enigma-relay doctor" finds no claims and no parked notifications, stop all of its relays and run ${redisCli(source)} DEL ${SOURCE_KEY}`,
  }
}

export const sameServer = (one: string, other: string): Refusal => ({
  event: 'same_server',
  text: `the sources "${one}" and "${other}" are the same Redis; every notification would be sent twice, under two ids`,
  fix: 'remove one of the two from ENIGMA_SOURCES',
})

/** Source id → the run id of its server, where that is told, and whether it is read. */
export type Servers = Map<string, { runId: string | undefined; isRead: boolean }>

export const createServers = (sources: readonly SourceConfig[]): Servers =>
  new Map(sources.map(({ id }) => [id, { runId: undefined, isRead: false }]))

export type IdentityOptions = {
  readonly client: Redis
  readonly source: SourceConfig
  /** The sources of this relay: whose server is which. Shared by all of them. */
  readonly servers: Servers
  /** Counts the connections of the client: behind a new one there may be another server. */
  readonly connections: () => number
  /** @throws RelayError that names each right that is missing */
  readonly nameRights: () => Promise<void>
  readonly log: Logger
  readonly now: () => number
}

/** How often (ms) a server that is refused, or did not answer, is asked again. */
const AGAIN_MS = 1_000

/** Whether the server that the client is connected to is the one that relays call by this name. */
export function createIdentity({ client, source, servers, connections, nameRights, log, now }: IdentityOptions) {
  const own = { runId: undefined as string | undefined, isRead: false }
  servers.set(source.id, own)
  const others = () => [...servers].filter(([id]) => id !== source.id)
  let verified = -1
  let introduced = -1
  let refusal: Refusal | undefined
  /** Since when (ms) a server that refused us has no name. */
  let absentMs: number | undefined
  let fault: RedisFault | undefined
  let asking: { readonly connection: number; readonly done: Promise<void> } | undefined
  /** Aborted when the server that was read turns out to be another one. */
  let reading = new AbortController()
  const [refusedFor, faultIs, notKeptFor] = [createNews(), createNews(), createNews()]

  const refuse = (why: Refusal) => {
    refusal = why
    verified = -1
    own.isRead = false
    reading.abort()
    const code: Code = `relay.source.${why.event}`
    if (refusedFor(why.text) === 'new')
      log.error({ code, source: source.id }, `${why.text}: ${why.fix}. This source does not run until then`)
    throw new RelayError('relay.source.refused', why.text, { fix: why.fix })
  }
  const admit = (connection: number) => {
    if (refusedFor(undefined) === 'over')
      log.info({ code: 'relay.source.admitted', source: source.id }, 'The source runs again')
    refusal = undefined
    absentMs = undefined
    verified = connection
    fault = undefined
    faultIs(undefined)
    own.isRead = true
  }

  const ask = async (connection: number): Promise<void> => {
    // Where it was refused, the server has lost its name a moment ago, or is another one: those who know it by its name write it again first.
    const isSure = refusal === undefined || (absentMs !== undefined && now() - absentMs > LEASE_MS)
    const { name, why } = await askIdentity(client, source, isSure)
    if (introduced !== connection) {
      own.runId = await askRunId(client)
      introduced = connection
    }
    if (name !== '') {
      absentMs = undefined
      const isSibling = (id: string) =>
        others().some(
          ([other, { runId }]) =>
            other === id && (runId === undefined || own.runId === undefined || runId === own.runId),
        )
      const found = judgeIdentity(source, isSibling, name)
      return found === undefined ? admit(connection) : refuse(found)
    }
    absentMs ??= now()
    if (refusal !== undefined && !isSure) return refuse(refusal)
    // It cannot keep its name (a replica, a full disk): at least this relay reads it by one alone.
    if (notKeptFor(why) === 'new')
      log.debug(
        { code: 'relay.source.name_not_kept', source: source.id, error: why },
        'The relay could not store the source id in Redis',
      )
    const twin = others().find(([, { runId, isRead }]) => isRead && runId !== undefined && runId === own.runId)
    return twin === undefined ? admit(connection) : refuse(sameServer(source.id, twin[0]))
  }

  /** Logs once what Redis itself refuses; each right by its name. */
  const note = async (failure: unknown): Promise<void> => {
    if (failure instanceof RelayError || !isAnswer(failure)) return
    const named = isDenied(failure) ? await nameRights().catch((missing: unknown) => missing) : undefined
    fault = judgeRedis(named ?? failure)
    if (faultIs(fault.words) === 'new')
      log.error({ code: 'relay.source.not_verified', source: source.id, error: fault.words }, sentenceOf(fault))
  }

  /** Asks now. @throws RelayError `relay.source.refused`, or what Redis answers */
  const look = (): Promise<void> => {
    const connection = connections()
    if (asking?.connection === connection) return asking.done
    const done = ask(connection).finally(() => {
      if (asking?.done === done) asking = undefined
    })
    asking = { connection, done }
    return done
  }

  return {
    look,
    /** Whether the server behind the present connection is known to be the right one. */
    isVerified: (): boolean => verified === connections(),
    get refusal(): Refusal | undefined {
      return refusal
    },
    /** Why Redis does not let it be known. */
    get fault(): RedisFault | undefined {
      return fault
    },
    /** Resolves when the server behind the present connection is known to be the right one. @throws as `look` */
    verify: async (): Promise<void> => {
      if (verified !== connections()) await look()
    },
    /** Runs the work while the server is the right one, and again when it is so again, until the signal aborts. */
    async whileAdmitted(work: (signal: AbortSignal) => Promise<unknown>, signal: AbortSignal): Promise<void> {
      while (!signal.aborted) {
        try {
          if (!client.isReady) {
            await sleep(25, signal)
            continue
          }
          if (verified !== connections()) await look()
        } catch (error) {
          await note(error)
          await sleep(error instanceof RelayError ? AGAIN_MS : AGAIN_MS / 4, signal)
          continue
        }
        reading = new AbortController()
        await work(AbortSignal.any([signal, reading.signal]))
      }
    },
  }
}

export type Identity = ReturnType<typeof createIdentity>
