import { createLog } from '../../runtime/index.ts'
import type { RelayConfig, SourceConfig } from '../config.ts'
import { redisCli, userOf } from '../redis/address.ts'
import { createRedis, type Redis } from '../redis/client.ts'
import { inTime } from './check.ts'

/** A client of the server. Source: https://redis.io/docs/latest/commands/client-list/ */
type ClientView = {
  readonly addr: string
  /** The last command, in lower case. */
  readonly cmd: string
  readonly isBlocked: boolean
  readonly listens: boolean
}

/** What the checks of a source work with. What asks the server throws its error, or RelayError when it does not answer. */
export type SourceView = {
  readonly source: SourceConfig
  readonly config: RelayConfig
  readonly now: () => number
  /** A connection for commands; it is never blocked, and nothing is subscribed to on it. */
  readonly client: Redis
  /** Makes a connection for one check alone: a command that blocks there delays no other check. */
  readonly connect: () => Promise<Redis>
  /** Gives a command to Redis; the reply as text, number or lists of these. */
  readonly ask: (...command: string[]) => Promise<unknown>
  /** A field of INFO; undefined when the server does not tell. */
  readonly info: (field: string) => Promise<string | undefined>
  /** A setting of the server; undefined when it has none of this name. */
  readonly setting: (name: string) => Promise<string | undefined>
  readonly clients: () => Promise<ClientView[]>
  /** The name of the user that the relay is; what a shell makes it of, when it is in a file. */
  readonly user: () => Promise<string>
  /** A command line for redis-cli. */
  readonly cli: (command: string) => string
}

/** Connects to a source. `close` ends all of its connections, also when it could not be opened. */
export function createSourceView(source: SourceConfig, config: RelayConfig, now: () => number) {
  // What goes wrong becomes a finding.
  const log = createLog('silent')
  const opened: Redis[] = []
  const connect = async (): Promise<Redis> => {
    const client = createRedis({ ...source, name: source.id, log, reconnect: false })
    opened.push(client)
    await inTime(client.connect())
    return client
  }
  const open = async (): Promise<SourceView> => {
    const client = await connect()
    const ask = (...command: string[]): Promise<unknown> => inTime(client.sendCommand<unknown>(command))
    let infoText: Promise<string> | undefined
    return {
      source,
      config,
      now,
      client,
      connect,
      ask,
      info: async (field) => {
        infoText ??= ask('INFO').then(String)
        return new RegExp(`^${field}:(.*?)\\r?$`, 'm').exec(await infoText)?.[1]
      },
      setting: async (name) => {
        const reply = await ask('CONFIG', 'GET', name)
        return Array.isArray(reply) && reply.length > 1 ? String(reply[1]) : undefined
      },
      clients: async () => parseClients(String(await ask('CLIENT', 'LIST'))),
      user: () => ask('ACL', 'WHOAMI').then(String, () => userOf(source)),
      cli: (command) => `${redisCli(source)} ${command}`,
    }
  }
  const close = (): void => {
    for (const client of opened) if (client.isOpen) client.destroy()
  }
  return { open, close }
}

function parseClients(list: string): ClientView[] {
  const lines = list.split('\n').filter((line) => line !== '')
  return lines.map((line) => {
    const field = (name: string) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(line)?.[1] ?? ''
    return {
      addr: field('addr'),
      cmd: field('cmd'),
      isBlocked: field('flags').includes('b'),
      listens: Number(field('sub')) + Number(field('psub')) > 0,
    }
  })
}
