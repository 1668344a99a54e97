import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'

/** A file that is added to. */
export type AppendFile = {
  readonly name: string
  /** How much of it is safely on disk, bytes. */
  readonly bytes: number
  /** Resolves when all of it is on disk. When it rejects, nothing of it counts, and the file is not to be used again if `isBroken`. */
  append: (data: Buffer) => Promise<void>
  readonly isBroken: boolean
  close: () => Promise<void>
}

/** Makes a file that must not be there yet. */
export async function createAppendFile(folder: string, name: string): Promise<AppendFile> {
  const handle = await open(join(folder, name), 'wx', 0o600)
  try {
    await syncFolder(folder)
  } catch (error) {
    await handle.close()
    throw error
  }
  let bytes = 0
  let isBroken = false
  return {
    name,
    get bytes() {
      return bytes
    },
    get isBroken() {
      return isBroken
    },
    append: async (data) => {
      try {
        await writeAll(handle, data, bytes)
        await handle.datasync()
        bytes += data.length
      } catch (error) {
        // A full disk takes the first half of a line: away with it. After a failed sync nobody knows what is on disk.
        isBroken = await handle.truncate(bytes).then(
          () => error instanceof Error && 'syscall' in error && error.syscall !== 'write',
          () => true,
        )
        throw error
      }
    },
    close: () => handle.close(),
  }
}

async function writeAll(handle: FileHandle, data: Buffer, position: number): Promise<void> {
  for (let at = 0; at < data.length;) {
    const { bytesWritten } = await handle.write(data, at, data.length - at, position + at)
    at += bytesWritten
  }
}

/** Makes new, renamed and removed names of a folder last. */
export async function syncFolder(folder: string): Promise<void> {
  // Windows does not open folders; it has nothing to sync there either.
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
