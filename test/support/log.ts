import { createLog } from '../../src/runtime/index.ts'

type Line = Record<string, unknown> & { readonly level: number; readonly msg: string }

/** Creates a log, and keeps its lines for assertions. */
export function captureLog() {
  const lines: string[] = []
  const log = createLog('debug', { write: (line) => void lines.push(line) })
  return {
    log,
    lines,
    /** The lines with this code. */
    coded: (code: string): Line[] =>
      lines.map((line) => JSON.parse(line) as Line).filter((line) => line['code'] === code),
  }
}
