import { createReadStream } from 'node:fs'
import { link, open, readdir, stat, unlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { createTurns } from '../../runtime/index.ts'
import { describe, RelayError } from '../relay-error.ts'
import type { Redis } from '../redis/redis-client.ts'
import { PARKED_FILES_KEY } from '../redis/relay-keys.ts'
import { readEntry, toOneLine } from './parked-entry.ts'
import { createParkedList, matches, type Filter, type Page, type ParkedList } from './parked-list.ts'

/*
 * Files of parked notifications for which the parked list in Redis has no room: JSON lines, each an entry as on the list. The relay only appends.
 * Taking an entry out overwrites its line with spaces: nothing of it is left, and no other line moves while the relay appends. The relay that owns a
 * file deletes it between two appends, once all of its lines are blank.
 */

const SPACE = 0x20
const NEWLINE = 0x0a

/** Returns the path of one relay's file of a source. A source id contains no dots. */
export const overflowFile = (folder: string, sourceId: string, relayId: string): string =>
  join(folder, `parked.${sourceId}.${relayId}.jsonl`)

/** Returns the files of a source in this folder, of any relay. @throws RelayError `relay.parked.file_failed` */
export async function findOverflowFiles(folder: string, sourceId: string): Promise<string[]> {
  const names = await onDisk('read', folder, unlessAbsent(readdir(folder), []))
  return names
    .filter((name) => name.startsWith(`parked.${sourceId}.`) && name.endsWith('.jsonl'))
    .toSorted()
    .map((name) => join(folder, name))
}

const FIXES: Readonly<Record<string, string>> = {
  ENOENT: 'create its folder first',
  EACCES: 'run this as a user with the right to it',
  EPERM: 'run this as a user with the right to it',
  ENOSPC: 'free disk space',
}

/** Returns the result of a step on this file. @throws RelayError `relay.parked.file_failed` */
async function onDisk<T>(verb: 'read' | 'write', file: string, step: Promise<T>): Promise<T> {
  try {
    return await step
  } catch (error) {
    const fix = FIXES[(error as NodeJS.ErrnoException).code ?? '']
    const cause = describe(error).replaceAll(/\.\d+\.unfinished/g, '')
    const words = `cannot ${verb} ${file}: ${cause}${fix === undefined ? '' : `: ${fix}`}`
    throw new RelayError('relay.parked.file_failed', words, { cause: error })
  }
}

/** Returns the result of `step`, or `absent` when there is no such file. @throws what the file system throws */
const unlessAbsent = <T, A>(step: Promise<T>, absent: A): Promise<T | A> =>
  step.catch((error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? absent : Promise.reject(error)))

type Line = { readonly offset: number; readonly bytes: Buffer }

/** How many bytes are read at once. A page has the lines whose ends are among these bytes. */
const READ_BYTES = 256 * 1024

/** Yields the lines of the first `size` bytes that are not blank, without their line ends. A line without its end is still being written. */
async function* readLines(file: string, size: number): AsyncGenerator<readonly Line[]> {
  if (size === 0) return
  let offset = 0
  let parts: Buffer[] = []
  for await (const chunk of createReadStream(file, { end: size - 1, highWaterMark: READ_BYTES })) {
    const lines: Line[] = []
    let rest = chunk as Buffer
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      const bytes = Buffer.concat([...parts, rest.subarray(0, end)])
      if (bytes.some((byte) => byte !== SPACE)) lines.push({ offset, bytes })
      offset += bytes.length + 1
      parts = []
      rest = rest.subarray(end + 1)
    }
    parts.push(rest)
    if (lines.length > 0) yield lines
  }
}

async function countLines(file: string, size: number): Promise<number> {
  let count = 0
  for await (const lines of readLines(file, size)) count += lines.length
  return count
}

/** Opens the relay's own file of one source. */
export function createOverflow(file: string) {
  /** The file's entries and state at the last check: the file is read again only after another process has changed it. */
  let known = { entries: 0, size: 0, mtimeMs: 0 }
  /** Runs steps one after the other, so that the file is not deleted while an entry is appended. */
  const inTurn = createTurns()

  const refresh = async (): Promise<typeof known> => {
    const { size, mtimeMs } = await unlessAbsent(stat(file), { size: 0, mtimeMs: 0 })
    if (size !== known.size || mtimeMs !== known.mtimeMs)
      known = { entries: await countLines(file, size), size, mtimeMs }
    return known
  }

  const write = async (entry: string): Promise<void> => {
    const { entries, size } = await refresh()
    await using handle = await open(file, 'a+', 0o600)
    const end = Buffer.alloc(1, NEWLINE)
    if (size > 0) await handle.read(end, 0, 1, size - 1)
    // A crash or a full disk may have left a partial line. The newline before the next entry ends it.
    const isWhole = end[0] === NEWLINE
    await handle.appendFile(`${isWhole ? '' : '\n'}${toOneLine(entry)}\n`)
    await handle.sync()
    const after = await handle.stat()
    known = { entries: entries + (isWhole ? 1 : 2), size: after.size, mtimeMs: after.mtimeMs }
    if (size > 0) return
    // The name of a new file is on disk only once its folder has been synced.
    await using folder = await open(dirname(file), 'r')
    await folder.sync()
  }

  return {
    /** Appends an entry of the parked list. Resolves when it is on disk. @throws what the file system throws */
    append: (entry: string): Promise<void> => inTurn(() => write(entry)),
    /** Returns the number of entries in the file. Deletes the file when all of them were taken out. */
    count: (): Promise<number> =>
      inTurn(async () => {
        const { entries, size } = await refresh()
        if (entries === 0 && size > 0) await unlink(file)
        return entries
      }),
  }
}

/** Opens a file as a list, from the oldest entry to the newest one present at the start. A relay may append meanwhile. */
export function openOverflowList(file: string): ParkedList {
  const offsets = new WeakMap<Buffer, number>()

  return {
    file,
    async *pages(filter: Filter): AsyncGenerator<Page> {
      const { size } = await onDisk('read', file, stat(file))
      const of = await onDisk('read', file, countLines(file, size))
      let seen = 0
      for await (const lines of readLines(file, size)) {
        for (const { bytes, offset } of lines) offsets.set(bytes, offset)
        seen += lines.length
        const entries = lines.map(({ bytes }) => readEntry(bytes)).filter((entry) => matches(entry, filter))
        yield { entries, seen, of }
      }
    },
    checkWritable: async (): Promise<void> => (await onDisk('write', file, open(file, 'r+'))).close(),
    async remove(raw: Buffer): Promise<boolean> {
      await using handle = await onDisk('write', file, open(file, 'r+'))
      const found = Buffer.alloc(raw.length)
      const offset = offsets.get(raw) as number
      await onDisk('read', file, handle.read(found, 0, raw.length, offset))
      if (!found.equals(raw)) return false
      await onDisk('write', file, handle.write(Buffer.alloc(raw.length, SPACE), 0, raw.length, offset))
      await onDisk('write', file, handle.sync())
      return true
    },
  }
}

export const fileExists = (file: string) =>
  new RelayError('relay.parked.file_exists', `${file} already exists, so nothing was written: choose another file name`)

/**
 * Exports entries to a file that appears complete or not at all, readable by its owner only, and that never replaces another file. @throws RelayError
 * `relay.parked.file_exists`, `relay.parked.file_failed`
 */
export async function writeExport(
  file: string,
  write: (line: (text: string) => Promise<void>) => Promise<void>,
): Promise<void> {
  const unfinished = `${file}.${process.pid}.unfinished`
  const handle = await onDisk('write', file, open(unfinished, 'wx', 0o600))
  try {
    try {
      await write((text) => onDisk('write', file, handle.appendFile(`${text}\n`)))
      await onDisk('write', file, handle.sync())
    } finally {
      await handle.close()
    }
    // Unlike a rename, a link never replaces an existing file.
    await link(unfinished, file).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') throw fileExists(file)
      return onDisk('write', file, Promise.reject(error))
    })
  } finally {
    await unlink(unfinished)
  }
}

type ParkedListsOptions = {
  readonly client: Redis
  readonly sourceId: string
  /** The folder in which this machine's relay keeps entries that do not fit on the parked list. */
  readonly dataDir: string
  readonly signal: AbortSignal
}

/** A file of another relay that cannot be read here. */
export type Elsewhere = { readonly relayId: string; readonly place: string }

/**
 * Visits the lists of a source's parked notifications one after the other: the list in Redis, then the files in this folder. Returns the files that
 * other relays have recorded, on other machines or in unknown folders. @throws RelayError, or what `body` throws
 */
export async function visitParkedLists(
  { client, sourceId, dataDir, signal }: ParkedListsOptions,
  body: (list: ParkedList) => Promise<void>,
): Promise<Elsewhere[]> {
  await body(createParkedList(client, sourceId))
  const files = await findOverflowFiles(dataDir, sourceId)
  for (const file of files) if (!signal.aborted) await body(openOverflowList(file))
  // The record is only a hint, and the Redis user may lack the right to read it.
  const noted = await client.hGetAll(PARKED_FILES_KEY).catch(() => ({}))
  const here = new Set(files.map((file) => `${hostname()}:${resolve(file)}`))
  return Object.entries(noted).flatMap(([relayId, place]) => (here.has(place) ? [] : [{ relayId, place }]))
}
