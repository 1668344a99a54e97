import { createChangeDetector, sleep, type Code } from '../../runtime/index.ts'
import type { SourceConfig } from '../config.ts'
import { RelayError } from '../relay-error.ts'
import type { SourceContext, SourceOptions } from '../source.ts'
import { redisCli } from './address.ts'
import { isAnswer, isDenied, judgeRedis, sentenceOf, type RedisFault } from './advice.ts'
import type { Redis } from './redis-client.ts'
import { SOURCE_KEY } from './relay-keys.ts'
import { LEASE_MS } from './lease.ts'

/**
 * Returns the name of a server. The source id is part of every notification id, so notifications of a server that relays read under two names would
 * be sent twice. Each server therefore stores its name, and a relay reads it before it takes or hears anything. The name is in database 0, because
 * all databases share one Pub/Sub. It contains the number of the database, because the numbers of claims are unique within one database only.
 */
export const identityOf = ({ id, url }: SourceConfig): string => {
  const database = databaseOf(url)
  return database === '0' ? id : `${id}/${database}`
}

const databaseOf = (url: string): string => String(Number(new URL(url).pathname.slice(1) || 0))

/** Asks a server for its name. @throws what Redis answers, or the connection throws */
export async function askIdentity(client: Redis, source: SourceConfig, mayWrite: boolean) {
  const call = { name: identityOf(source), database: databaseOf(source.url), mayWrite: mayWrite ? 1 : 0 }
  const [name, why] = (await client.identify(call)) as [name: string, why: string]
  return { name, why }
}

/** Why a server may not be read as this source, and the remedy. */
export type Refusal = {
  readonly event: 'other_name' | 'same_server' | 'other_database'
  readonly text: string
  readonly fix: string
}

/**
 * Judges whether a server with this name may be read as this source; undefined when it may. `isSibling`: whether another source reads the server, as
 * far as is known.
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

/** Source id → the run id of its server, where the server reports it, and whether the source runs. */
export type Servers = Map<string, { runId: string | undefined; isRead: boolean }>

export const createServers = (sources: readonly SourceConfig[]): Servers =>
  new Map(sources.map(({ id }) => [id, { runId: undefined, isRead: false }]))

type IdentityOptions = Pick<SourceContext & SourceOptions, 'client' | 'source' | 'servers' | 'log' | 'now'> & {
  /** Counts the connections of the client: a new one may lead to another server. */
  readonly connections: () => number
  /** Names each missing right. @throws RelayError with the missing rights */
  readonly nameRights: () => Promise<void>
}

/** How often (ms) a refused server is asked for its name again. */
const AGAIN_MS = 1_000

/** Creates the check that the server behind the client is the one that relays know under this source id. */
export function createIdentity({ client, source, servers, connections, nameRights, log, now }: IdentityOptions) {
  const own = { runId: undefined as string | undefined, isRead: false }
  servers.set(source.id, own)
  let verified = -1
  let introduced = -1
  let refusal: Refusal | undefined
  /** Since when (ms) the server has no name. */
  let absentMs: number | undefined
  let fault: RedisFault | undefined
  let asking: { readonly connection: number; readonly done: Promise<void> } | undefined
  /** Aborts when the server turns out to be another one. */
  let reading = new AbortController()
  const [refusedFor, faultIs, notKeptFor] = [createChangeDetector(), createChangeDetector(), createChangeDetector()]

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
    // After a refusal, the server has just lost its name, or is another one. Relays that know its name get the first chance to write it
    // again.
    const isSure = refusal === undefined || (absentMs !== undefined && now() - absentMs > LEASE_MS)
    const { name, why } = await askIdentity(client, source, isSure)
    if (introduced !== connection) {
      const info = await client.info('server').catch(() => '')
      own.runId = /^run_id:(\w+)/m.exec(info)?.[1]
      introduced = connection
    }
    if (name !== '') {
      absentMs = undefined
      const isSibling = (id: string) => {
        const other = servers.get(id)
        if (other === undefined || other === own) return false
        return other.runId === undefined || own.runId === undefined || other.runId === own.runId
      }
      const found = judgeIdentity(source, isSibling, name)
      return found === undefined ? admit(connection) : refuse(found)
    }
    absentMs ??= now()
    if (refusal !== undefined && !isSure) return refuse(refusal)
    // The server cannot keep its name (a replica, a full disk). This relay at least reads it under one name only.
    if (notKeptFor(why) === 'new')
      log.debug(
        { code: 'relay.source.name_not_kept', source: source.id, error: why },
        'The relay could not store the source id in Redis',
      )
    const isTwin = (server: typeof own) => server !== own && server.isRead && server.runId === own.runId
    const twin = own.runId === undefined ? undefined : [...servers].find(([, server]) => isTwin(server))
    return twin === undefined ? admit(connection) : refuse(sameServer(source.id, twin[0]))
  }

  /** Logs once what Redis refuses, and names each missing right. */
  const note = async (failure: unknown): Promise<void> => {
    if (failure instanceof RelayError || !isAnswer(failure)) return
    const named = isDenied(failure) ? await nameRights().catch((missing: unknown) => missing) : undefined
    fault = judgeRedis(named ?? failure)
    if (faultIs(fault.words) === 'new')
      log.error({ code: 'relay.source.not_verified', source: source.id, error: fault.words }, sentenceOf(fault))
  }

  /** Asks now. @throws RelayError `relay.source.refused`, or what Redis answers */
  const check = (): Promise<void> => {
    const connection = connections()
    if (asking?.connection === connection) return asking.done
    const done = ask(connection).finally(() => {
      if (asking?.done === done) asking = undefined
    })
    asking = { connection, done }
    return done
  }

  const isVerified = (): boolean => verified === connections()
  const verify = async (): Promise<void> => {
    if (!isVerified()) await check()
  }

  return {
    check,
    /** Whether the server behind the present connection is known to be the right one. */
    isVerified,
    get refusal(): Refusal | undefined {
      return refusal
    },
    /** Why Redis does not report the name. */
    get fault(): RedisFault | undefined {
      return fault
    },
    /** Resolves when the server behind the present connection is known to be the right one. @throws as `check` */
    verify,
    /** Runs the work whenever the server is the right one, until the signal aborts. */
    async whileAdmitted(work: (signal: AbortSignal) => Promise<unknown>, signal: AbortSignal): Promise<void> {
      while (!signal.aborted) {
        try {
          if (!client.isReady) {
            await sleep(25, signal)
            continue
          }
          await verify()
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
