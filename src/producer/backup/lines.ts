import { open } from 'node:fs/promises'

/** A line without its end, and the offset behind it. `isWhole` is false for a last line that was never ended. */
export type Line = { readonly bytes: Buffer; readonly end: number; readonly isWhole: boolean }

const READ_BYTES = 256 * 1024

/** The next lines of a file from offset `from` to `to`: as many as are in 256 KiB, and at least one; the last one may be empty. */
export async function readLines(file: string, from: number, to: number): Promise<Line[]> {
  const handle = await open(file, 'r')
  try {
    for (let size = Math.min(READ_BYTES, to - from); size > 0; size = Math.min(size * 2, to - from)) {
      const buffer = Buffer.alloc(size)
      const { bytesRead } = await handle.read(buffer, 0, size, from)
      const bytes = buffer.subarray(0, bytesRead)
      const lines: Line[] = []
      for (let at = 0, end = bytes.indexOf(10); end >= 0; at = end + 1, end = bytes.indexOf(10, at)) {
        lines.push({ bytes: bytes.subarray(at, end), end: from + end + 1, isWhole: true })
      }
      const rest = bytes.subarray((lines.at(-1)?.end ?? from) - from)
      // The end, or somebody has cut the file meanwhile.
      if (from + size >= to || bytesRead < size) {
        if (rest.length > 0 || lines.length === 0) lines.push({ bytes: rest, end: to, isWhole: false })
        return lines
      }
      if (lines.length > 0) return lines
    }
    return []
  } finally {
    await handle.close()
  }
}
