import { randomBytes } from 'node:crypto'
import { readdirSync, rmSync, statSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createChangeDetector, createTurns, type Logger } from '../../runtime/index.ts'
import {
  createAppendFile,
  firstNumberOf,
  formatFileName,
  formatRecord,
  isFileName,
  keepDamaged,
  lastNumberIn,
  parseRecord,
  readLines,
  readState,
  writeFirstState,
  writeState,
  type BackupRecord,
  type Item,
  type Line,
  type Position,
} from './backup-folder.ts'

/** A file of the folder. `bytes`: how many of its bytes are read. */
type ListedFile = { readonly name: string; bytes: number }

/** Creates the list of files, the oldest first, with the position up to which they are pushed. It does no I/O: it returns which files to remove. */
export function createFileList(found: readonly ListedFile[], position: Position | undefined, lastNumber: number) {
  // The files before the position were pushed, whether the file of the position still exists or not.
  const files = found.filter(({ name }) => position === undefined || name >= position.file)
  let offset = 0
  let number = files[0] === undefined ? lastNumber : firstNumberOf(files[0].name) - 1
  const before = found.filter((file) => !files.includes(file)).map(({ name }) => name)

  const shift = (): string => {
    offset = 0
    return files.shift()?.name ?? ''
  }

  /** Records that every packet before `to` is pushed. Returns the finished files, except `open`, to which more may be appended. */
  const drop = (to: Position | undefined, open?: string): string[] => {
    const done: string[] = []
    // A position in an unknown file is ignored: the file was removed before, or belongs to another folder.
    if (to !== undefined && files.some(({ name }) => name === to.file)) {
      while (files[0]?.name !== to.file) done.push(shift())
      if (to.offset >= offset) [offset, number] = [to.offset, to.number]
    }
    while (files[0] !== undefined && offset >= files[0].bytes && files[0].name !== open) done.push(shift())
    return done
  }
  const done = [...before, ...drop(position)]

  return {
    /** Files that were already pushed, to be removed. */
    done,
    drop,
    /** Whether a position is in one of the files, beyond the packets that are known to be pushed. */
    isAhead: (to: Position): boolean => {
      const at = files.findIndex(({ name }) => name === to.file)
      return at > 0 || (at === 0 && to.offset > offset)
    },
    /** Returns where reading continues, and the size of that file. */
    first: (): (Position & { readonly bytes: number }) | undefined =>
      files[0] && { file: files[0].name, bytes: files[0].bytes, offset, number },
    add: (name: string): void => void files.push({ name, bytes: 0 }),
    grow: (name: string, bytes: number): void => {
      for (const file of files) if (file.name === name) file.bytes = bytes
    },
  }
}

/** A packet that was read, and the position after it. */
export type ReadRecord = BackupRecord & { readonly end: Position }
/** The next packets, and the position after everything that was read. It is after the last packet when damaged lines follow. */
export type Chunk = { readonly records: readonly ReadRecord[]; readonly end: Position }

/**
 * Opens files of packets that are only appended to, read from the oldest on, and removed when they are pushed. A run never appends to a file of
 * another run, which may end with half a line. Only one call at a time may read or advance; appending may run in parallel.
 */
export function openBackupFiles(folder: string, maxFileBytes: number, log: Pick<Logger, 'warn' | 'error'>) {
  const run = randomBytes(4).toString('hex')
  const names = readdirSync(folder).filter(isFileName).toSorted()
  const stored = readState(folder)
  if (stored === undefined && names.length > 0) {
    log.warn(
      { code: 'producer.backup.state_lost', folder },
      'the backup folder has lost its state file: the producer pushes every packet in its files, some of them perhaps a second time',
    )
  }
  const id = stored?.id ?? randomBytes(8).toString('hex')
  if (stored === undefined) writeFirstState(folder, id)
  let lastNumber = Math.max(stored?.position?.number ?? 0, ...names.slice(-1).map((name) => lastNumberIn(folder, name)))
  const list = createFileList(
    names.map((name) => ({ name, bytes: statSync(join(folder, name)).size })),
    stored?.position,
    lastNumber,
  )
  for (const name of list.done) rmSync(join(folder, name), { force: true })

  let active: Awaited<ReturnType<typeof createAppendFile>> | undefined
  let isAppending = false
  const inTurn = createTurns()
  const change = createChangeDetector()
  /** Lines before this position are known to be unreadable, and are kept. */
  let kept: Position | undefined

  const closeActive = async (): Promise<void> => {
    const closing = active
    active = undefined
    await closing?.close()
  }

  const keep = async ({ bytes, end, isWhole }: Line, from: Position): Promise<void> => {
    const { file, offset } = from
    if (kept?.file === file && kept.offset >= end) return
    log.warn(
      { code: 'producer.backup.line_damaged', file: join(folder, file), offset, bytes: bytes.length },
      `${isWhole ? 'a damaged line' : 'an incomplete last line'} of a backup file was skipped and kept in <file>.damaged`,
    )
    await keepDamaged(folder, file, bytes)
    kept = { ...from, offset: end }
  }

  const linesOf = async ({ file, offset, bytes }: Position & { readonly bytes: number }) => {
    try {
      return await readLines(join(folder, file), offset, bytes)
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
      log.error(
        { code: 'producer.backup.file_removed', file: join(folder, file), offset, bytes },
        'a backup file was removed: the packets in it that were not pushed are lost',
      )
      return [{ bytes: Buffer.alloc(0), end: bytes, isWhole: false }]
    }
  }

  const add = async (items: readonly Item[], op: string | undefined): Promise<number> => {
    isAppending = true
    const atMs = Date.now()
    const data = Buffer.concat(
      items.map((item, at) => formatRecord({ ...item, number: lastNumber + 1 + at, op }, atMs)),
    )
    try {
      if (active === undefined || active.isBroken || active.bytes >= maxFileBytes) {
        await closeActive()
        active = await createAppendFile(folder, formatFileName(lastNumber + 1, run))
        list.add(active.name)
      }
      await active.append(data)
      list.grow(active.name, active.bytes)
      lastNumber += items.length
      return lastNumber - items.length + 1
    } catch (error) {
      // The file may exist although its creation failed, so the next file needs another name.
      if (active === undefined || active.isBroken) lastNumber += items.length
      throw error
    } finally {
      isAppending = false
    }
  }

  return {
    id,
    run,
    get isEmpty() {
      return list.first() === undefined && !isAppending
    },
    /** How many packets are not pushed yet. Packets in damaged lines count until these lines are skipped. */
    get pending() {
      return lastNumber - (list.first()?.number ?? lastNumber)
    },

    /**
     * Resolves with the number of the first packet when all packets are on disk. When it rejects, none of them is. `op`: the command that may have
     * written them to Redis.
     */
    append: (items: readonly Item[], op?: string): Promise<number> => inTurn(() => add(items, op)),

    /** Reads the next packets, up to `most` and about 256 KiB; undefined when there are none. */
    read: async (most: number): Promise<Chunk | undefined> => {
      const from = list.first()
      // All of it is read, and more is being appended: the appender starts the next read.
      if (from === undefined || from.offset >= from.bytes) return undefined
      const records: ReadRecord[] = []
      let end: Position = { file: from.file, offset: from.offset, number: from.number }
      for (const line of await linesOf(from)) {
        if (records.length === most) break
        const record = line.isWhole ? parseRecord(line.bytes) : undefined
        if (record === undefined && line.bytes.length > 0) await keep(line, end)
        end = { file: from.file, offset: line.end, number: record?.number ?? end.number }
        if (record !== undefined) records.push({ ...record, end })
      }
      return { records, end }
    },

    /** Records durably that every packet before `to` is pushed, and removes finished files. */
    advance: async (to: Position): Promise<void> => {
      const done = list.drop(to, isAppending ? active?.name : undefined)
      if (active !== undefined && done.includes(active.name)) await closeActive()
      for (const name of done) await rm(join(folder, name), { force: true })
      try {
        await writeState(folder, { id, position: to })
        change(undefined)
      } catch (error) {
        // Without the position, a restart pushes some packets again. Pushing goes on all the same, because it makes room on a full disk.
        if (change('unsaved') === 'new')
          log.warn(
            { code: 'producer.backup.position_unsaved', folder, error: String(error) },
            'the producer cannot save up to which packet it has pushed the backup files: after a restart it pushes some packets again',
          )
      }
    },

    /** Whether `to` is a position in these files, beyond the packets that are known to be pushed. */
    isAhead: list.isAhead,
    close: closeActive,
  }
}

export type BackupFiles = ReturnType<typeof openBackupFiles>
