import { hostname } from 'node:os'
import { resolve } from 'node:path'
import type { Redis } from '../redis/client.ts'
import { PARKED_FILES_KEY } from '../redis/keys.ts'
import { findOverflowFiles, openOverflowList } from './overflow.ts'
import { createParkedList, type ParkedList } from './parked-list.ts'

type PlacesOptions = {
  readonly client: Redis
  readonly sourceId: string
  /** Where this machine's relay keeps what a parked list has no room for. */
  readonly dataDir: string
  readonly signal: AbortSignal
}

/** A file of a relay that cannot be read here. */
export type Elsewhere = { readonly relayId: string; readonly place: string }

/**
 * Visits where parked notifications of a source are, one after the other: its list in Redis, and then the files in this folder. Returns the
 * places that other relays have noted, on other machines or in folders that nobody knows here. @throws RelayError, or what `body` throws
 */
export async function overPlaces(
  { client, sourceId, dataDir, signal }: PlacesOptions,
  body: (list: ParkedList) => Promise<void>,
): Promise<Elsewhere[]> {
  await body(createParkedList(client, sourceId))
  const files = await findOverflowFiles(dataDir, sourceId)
  for (const file of files) if (!signal.aborted) await body(openOverflowList(file))
  // It is a hint only, and the user of Redis may have no right to read it.
  const noted = await client.hGetAll(PARKED_FILES_KEY).catch(() => ({}))
  const here = new Set(files.map((file) => `${hostname()}:${resolve(file)}`))
  return Object.entries(noted).flatMap(([relayId, place]) => (here.has(place) ? [] : [{ relayId, place }]))
}
