import { join } from 'node:path'
import { createProducer } from '../../producer/index.ts'
import type { Release } from '../../runtime/index.ts'
import { createSimulator } from '../simulator/index.ts'
import type { Crew } from './crew.ts'
import type { DataDir } from './data-dir.ts'
import { startOwnRedis } from './own-redis.ts'
import { hideCredentials, type Part } from './part.ts'
import type { Settings } from './settings.ts'

/** The call centre to play: see `createSimulator`. */
export type CallCentre = { readonly agents: number; readonly speed: number; readonly seed: number }

/** The port of a real dialler's Redis. */
export const DIALLER_PORT = 8001

export type DiallerOptions = {
  readonly settings: Settings
  /** The port to start one on. */
  readonly port: number
  readonly folder: string
  readonly dataDir: DataDir
  readonly release: Release
}

/** The dialler's Redis: the one that is there, else one of the street's own. `url` is undefined where ENIGMA_SOURCES names it. */
export async function startDialler({
  settings,
  port,
  folder,
  dataDir,
  release,
}: DiallerOptions): Promise<{ url?: string; part: Part }> {
  const name = "dialler's Redis"
  if (settings.hasDialler) {
    const address = settings.relay.sources.map((source) => `${source.id}=${hideCredentials(source.url)}`).join(',')
    return { part: { name, address, note: 'as ENIGMA_SOURCES says' } }
  }
  if (settings.redisUrl !== undefined) {
    return {
      url: settings.redisUrl,
      part: { name, address: hideCredentials(settings.redisUrl), note: 'as REDIS_URL says' },
    }
  }
  const server = await startOwnRedis({ folder: join(folder, 'dialler'), port, dataDir, release })
  const note = port === 0 || server.port === port ? {} : { note: `port ${port} is taken by something else` }
  return { url: server.url, part: { name, address: server.url, ...note } }
}

/** Plays the call centre on the dialler's Redis. */
export function startCallCentre({ agents, speed, seed }: CallCentre, url: string, crew: Crew): Part {
  crew.add(async (signal) => {
    const producer = createProducer({ url })
    try {
      await createSimulator({ producer, agents, speed, seed }).run(signal)
    } finally {
      await producer.close()
    }
  })
  return {
    name: 'call centre',
    address: 'played',
    note: `${agents} agents, ${speed === 1 ? 'real time' : `${speed} times real time`}, seed ${seed}`,
  }
}
