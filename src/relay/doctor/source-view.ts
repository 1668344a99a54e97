import type { RelayConfig, SourceConfig } from '../config.ts'
import type { Redis } from '../redis/client.ts'
import { redisCli, userOf } from '../redis/address.ts'
import { within } from './check.ts'

/** An answer that takes longer (ms) does not come. */
export const ANSWER_MS = 5_000

/** What the checks of a source work with. */
export type SourceView = {
  readonly source: SourceConfig
  readonly config: RelayConfig
  /** A connection for commands; it is never blocked, and nothing is subscribed to on it. */
  readonly client: Redis
  readonly now: () => number
  /** Gives a command to Redis; the reply as text, number or lists of these. @throws what Redis answers with, or Error when it does not */
  readonly ask: (...command: string[]) => Promise<unknown>
  /** A field of INFO; undefined when the server does not tell. @throws when the server does not let ask */
  readonly info: (field: string) => Promise<string | undefined>
  /** A setting of the server; undefined when it has none of this name. @throws when the server does not let ask */
  readonly setting: (name: string) => Promise<string | undefined>
  /** The name of the user that the relay is; what a shell makes it of, when it is in a file. */
  readonly user: () => Promise<string>
  /** The name of a check: `redis/main/<of>`. */
  readonly name: (of: string) => string
  /** A command line for redis-cli. */
  readonly cli: (command: string) => string
}

export function createSourceView({
  source,
  config,
  client,
  now,
}: Pick<SourceView, 'source' | 'config' | 'client' | 'now'>): SourceView {
  const ask = (...command: string[]): Promise<unknown> => within(ANSWER_MS, client.sendCommand<unknown>(command))
  let infoText: Promise<string> | undefined
  return {
    source,
    config,
    client,
    now,
    ask,
    info: async (field) => {
      infoText ??= ask('INFO').then(String)
      return new RegExp(`^${field}:(.*?)\\r?$`, 'm').exec(await infoText)?.[1]
    },
    setting: async (name) => {
      const reply = await ask('CONFIG', 'GET', name)
      return Array.isArray(reply) && reply.length > 1 ? String(reply[1]) : undefined
    },
    user: () => ask('ACL', 'WHOAMI').then(String, () => userOf(source)),
    name: (of) => `redis/${source.id}/${of}`,
    cli: (command) => `${redisCli(source)} ${command}`,
  }
}
