import { createReadStream } from 'node:fs'
import { link, open, readdir, stat, unlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { hostname } from 'node:os'
import { describe, RelayError } from '../errors.ts'
import { readEntry, toOneLine } from './parked-entry.ts'
import { matches, createParkedList, type Filter, type Page, type ParkedList } from './parked-list.ts'
import type { Redis } from '../redis/client.ts'
import { PARKED_FILES_KEY } from '../redis/keys.ts'

/**
 * Files of parked notifications for which the parked list in Redis has no room: JSON lines, each an entry as on the list. The relay
 * only appends. Who takes an entry out overwrites its line with spaces, so that nothing of it is left and no other line moves while
 * the relay appends. A file of which nothing is left is deleted by the relay that owns it, between two appends.
 */

const SPACE = 0x20
const NEWLINE = 0x0a

/** The file of one relay and source. A source id has no dots. */
export const overflowFile = (folder: string, sourceId: string, relayId: string): string =>
  join(folder, `parked.${sourceId}.${relayId}.jsonl`)

/** Returns the files of a source in this folder, of whichever relay. @throws RelayError `relay.parked.file_failed` */
export async function findOverflowFiles(folder: string, sourceId: string): Promise<string[]> {
  const names = await onDisk('read', folder, unlessAbsent(readdir(folder), []))
  return names
    .filter((name) => name.startsWith(`parked.${sourceId}.`) && name.endsWith('.jsonl'))
    .toSorted()
    .map((name) => join(folder, name))
}

/** The result of a step on this file. @throws RelayError `relay.parked.file_failed` */
async function onDisk<T>(verb: 'read' | 'write', file: string, step: Promise<T>): Promise<T> {
  try {
    return await step
  } catch (error) {
    const words = `cannot ${verb} ${file}: ${describe(error)}`
    throw new RelayError('relay.parked.file_failed', words, { cause: error })
  }
}

/** What `step` resolves to, or `absent` when there is no such file. @throws what the file system throws */
const unlessAbsent = <T, A>(step: Promise<T>, absent: A): Promise<T | A> =>
  step.catch((error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? absent : Promise.reject(error)))

type Line = { readonly offset: number; readonly bytes: Buffer }

/** So many bytes are read at once: a page has the lines that end in them. */
const READ_BYTES = 256 * 1024

/** The lines of the first `size` bytes that hold something, without their ends. What has no end yet is being written. */
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

/** The relay's own file of one source. */
export function createOverflow(file: string) {
  /** What the file had when it was last looked at, so that it is read again only when another process has changed it. */
  let known = { entries: 0, size: 0, mtimeMs: 0 }
  let last: Promise<unknown> = Promise.resolve()

  /** One after the other: a file is not deleted while it is appended to. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = last.then(work, work)
    last = done.catch(() => undefined)
    return done
  }

  const look = async (): Promise<typeof known> => {
    const { size, mtimeMs } = await unlessAbsent(stat(file), { size: 0, mtimeMs: 0 })
    if (size !== known.size || mtimeMs !== known.mtimeMs)
      known = { entries: await countLines(file, size), size, mtimeMs }
    return known
  }

  const write = async (entry: string): Promise<void> => {
    const { entries, size } = await look()
    await using handle = await open(file, 'a+', 0o600)
    const end = Buffer.alloc(1, NEWLINE)
    if (size > 0) await handle.read(end, 0, 1, size - 1)
    // A crash or a full disk may have left a part of a line, of which its end makes an entry.
    const isWhole = end[0] === NEWLINE
    await handle.appendFile(`${isWhole ? '' : '\n'}${toOneLine(entry)}\n`)
    await handle.sync()
    const after = await handle.stat()
    known = { entries: entries + (isWhole ? 1 : 2), size: after.size, mtimeMs: after.mtimeMs }
    if (size > 0) return
    // The name of a new file is not on disk before its folder is.
    await using folder = await open(dirname(file), 'r')
    await folder.sync()
  }

  return {
    /** Appends an entry of the parked list; resolves when it is on disk. @throws what the file system throws */
    append: (entry: string): Promise<void> => inTurn(() => write(entry)),
    /** Returns how many entries the file has; deletes it when all of them were taken out. */
    count: (): Promise<number> =>
      inTurn(async () => {
        const { entries, size } = await look()
        if (entries === 0 && size > 0) await unlink(file)
        return entries
      }),
  }
}

/** Opens a file as a list, from the oldest entry to the newest that was there at the start. A relay may append meanwhile. */
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
 * Exports entries to a file that appears whole or not at all, for its owner's eyes only, and never in place of another.
 * @throws RelayError `relay.parked.file_exists`, `relay.parked.file_failed`
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
    // Unlike a rename, a link never takes the place of a file that is there.
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
export async function visitParkedLists(
  { client, sourceId, dataDir, signal }: ParkedListsOptions,
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
