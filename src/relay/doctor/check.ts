import { maskText } from '../../protocol/index.ts'
import { createLog, within } from '../../runtime/index.ts'
import type { RelayConfig, SourceConfig } from '../config.ts'
import { describe, RelayError } from '../relay-error.ts'
import { redisCli, userOf } from '../redis/address.ts'
import { createRedis, type Redis } from '../redis/redis-client.ts'

/**
 * `ok`: as it should be. `warn`: it works, but the operator should know something, or it could not be checked. `fail`: the relay cannot do its work,
 * or would lose something.
 */
export type State = 'ok' | 'warn' | 'fail'

/** Names a finding for scripts and tests: room, part, event. */
export type DoctorCode = `doctor.${string}.${string}`

/** The result of a check. It holds no personal data and no secret. */
export type Diagnosis = {
  readonly state: State
  /** Names the finding; absent when the state is `ok`. docs/logs.md lists the codes. */
  readonly code?: DoctorCode
  readonly text: string
  /** The remedy: a command, or a variable to set. */
  readonly fix?: string | undefined
}

/** A diagnosis with the name of the check that made it, such as `redis/main/memory`. The name is the same in each run. */
export type Finding = { readonly check: string } & Diagnosis

export const ok = (text: string): Diagnosis => ({ state: 'ok', text })
export const warn = (code: DoctorCode, text: string, fix?: string): Diagnosis => ({ state: 'warn', code, text, fix })
export const fail = (code: DoctorCode, text: string, fix?: string): Diagnosis => ({ state: 'fail', code, text, fix })

type Said = Diagnosis | readonly Diagnosis[]

/** Checks by name. A check may return an empty list when it does not apply. */
export type Checks = Readonly<Record<string, () => Said | Promise<Said>>>

/** An answer that takes longer (ms) counts as missing, and a check that takes longer is abandoned. */
export const MAX_ANSWER_MS = 5_000
const MAX_CHECK_MS = 20_000

/** Resolves as `promise` does. @throws RelayError when it takes longer than `limitMs` */
export const inTime = <T>(promise: Promise<T>, limitMs = MAX_ANSWER_MS): Promise<T> =>
  within(limitMs, promise, () => new RelayError('doctor.check.no_answer', `no answer within ${limitMs / 1000} s`))

/**
 * Runs all checks at once and puts `<part>/` before their names. Findings come in the order of the checks. An error that a check throws becomes a
 * warning, so a check that cannot run hides no other. Never throws.
 *
 * @param explain returns the remedy for an error that a check threw
 * @param limitMs how long a check may take
 */
export async function makeChecks(
  part: string,
  checks: Checks,
  explain: (error: unknown) => string | undefined = () => undefined,
  limitMs = MAX_CHECK_MS,
): Promise<Finding[]> {
  const notPossible = (error: unknown): Said =>
    warn('doctor.check.not_possible', `this could not be checked: ${wordsOf(error)}`, explain(error))
  const all = Object.entries(checks).map(async ([name, run]) => {
    const said = await inTime<Said>((async () => run())(), limitMs).catch(notPossible)
    return [said].flat().map((one) => ({ check: `${part}/${name}`, ...one }))
  })
  return (await Promise.all(all)).flat()
}

/** `1 item is`, `2 items are` */
export const counted = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`

/** Returns the text of an error, or a text, in a form that fits on one line. */
export const wordsOf = (error: unknown): string =>
  describe(error)
    .replace(/\p{Cc}+/gu, ' ')
    .slice(0, 300)

/** Returns the text of an SQS error without account and key numbers. A connection error contains only addresses and ports. */
export function sqsWords(error: unknown): string {
  const isConnection = error instanceof Error && 'code' in error && /^E[A-Z]+$/.test(String(error.code))
  return isConnection ? wordsOf(error) : maskText(wordsOf(error))
}

/** Creates the connections to a source. `close` ends all of them, also when `open` failed. */
export function createSourceView(source: SourceConfig, config: RelayConfig, now: () => number) {
  // Problems become findings.
  const log = createLog('silent')
  const opened: Redis[] = []
  const connect = async (): Promise<Redis> => {
    const client = createRedis({ ...source, name: source.id, log, reconnect: false })
    opened.push(client)
    await inTime(client.connect())
    return client
  }
  const open = async () => {
    const client = await connect()
    const ask = (...command: string[]): Promise<unknown> => inTime(client.sendCommand<unknown>(command))
    let infoText: Promise<string> | undefined
    return {
      source,
      config,
      now,
      /** A connection for commands. It is never blocked, and subscribes to nothing. */
      client,
      /** Creates a connection for one check: a command that blocks there delays no other check. */
      connect,
      /** Runs a command in Redis. Returns the reply as text, number or lists of these. */
      ask,
      /** Returns a field of INFO; undefined when the server does not report it. */
      info: async (field: string): Promise<string | undefined> => {
        infoText ??= ask('INFO').then(String)
        return new RegExp(`^${field}:(.*?)\\r?$`, 'm').exec(await infoText)?.[1]
      },
      /** Returns a setting of the server; undefined when it has no setting of this name. */
      setting: async (name: string): Promise<string | undefined> => {
        const reply = await ask('CONFIG', 'GET', name)
        return Array.isArray(reply) && reply.length > 1 ? String(reply[1]) : undefined
      },
      clients: async () => parseClients(String(await ask('CLIENT', 'LIST'))),
      /** Returns the name of the relay's Redis user, or the shell expression that reads it from its file. */
      user: (): Promise<string> => ask('ACL', 'WHOAMI').then(String, () => userOf(source)),
      cli: (command: string): string => `${redisCli(source)} ${command}`,
    }
  }
  const close = (): void => opened.filter(({ isOpen }) => isOpen).forEach((client) => client.destroy())
  return { open, close }
}

/** The tools of a source's checks. Every function that asks the server throws the server's error, or RelayError when it does not answer. */
export type SourceView = Awaited<ReturnType<ReturnType<typeof createSourceView>['open']>>

/** Source: https://redis.io/docs/latest/commands/client-list/ */
function parseClients(list: string) {
  const lines = list.split('\n').filter((line) => line !== '')
  return lines.map((line) => {
    const field = (name: string) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(line)?.[1] ?? ''
    return {
      addr: field('addr'),
      /** The last command, in lower case. */
      cmd: field('cmd'),
      isBlocked: field('flags').includes('b'),
      listens: Number(field('sub')) + Number(field('psub')) > 0,
    }
  })
}
