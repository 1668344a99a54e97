import { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { firstNumberOf } from './position.ts'
import { parseRecord } from './record.ts'

/** Keeps a line that cannot be read beside its file, in `<file>.damaged`: a human may still make something of it. */
export async function keepDamaged(folder: string, file: string, line: Buffer): Promise<void> {
  const handle = await open(join(folder, `${file}.damaged`), 'a', 0o600)
  try {
    await handle.writeFile(Buffer.concat([line, Buffer.from('\n')]))
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The number of the last packet in a file that can be read. */
export function lastNumberIn(folder: string, file: string): number {
  const bytes = readFileSync(join(folder, file))
  for (let end = bytes.length; end > 0;) {
    const start = bytes.lastIndexOf(10, end - 1) + 1
    const record = parseRecord(bytes.subarray(start, end))
    if (record !== undefined) return record.number
    end = start - 1
  }
  return firstNumberOf(file) - 1
}
