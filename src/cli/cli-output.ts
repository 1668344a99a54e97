import { toShown, UNREADABLE, type Entry } from '../relay/parking/parked-entry.ts'
import type { Page, TakenOut } from '../relay/parking/parked-list.ts'

/** Writes to standard output. Resolves when the text is written, so that a slow reader does not fill the memory. */
export function print(text: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => (error ? reject(error) : resolve()))
  })
}

/** Returns the widths of columns, widened where these rows need it. */
export const widen = (widths: readonly number[], rows: readonly (readonly string[])[]): number[] =>
  widths.map((width, column) => rows.reduce((most, row) => Math.max(most, row[column]?.length ?? 0), width))

/** Formats each row as a line, with its cells in columns. */
export function formatRows(rows: readonly (readonly string[])[], widths: readonly number[]): string {
  const lines = rows.map((row) => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  '))
  return lines.map((line) => `${line.trimEnd()}\n`).join('')
}

const HEADER = ['PARKED AT', 'SOURCE', 'ID', 'ROUTE', 'REASON', 'BYTES', 'DETAIL']

const toRow = (entry: Entry, source: string) =>
  entry.kind === 'parked'
    ? toShown(entry, source)
    : { source, id: entry.id, reason: UNREADABLE, detail: entry.why, bytes: entry.raw.length }

/** Creates a listing of parked entries: a table, or one JSON object per line. Personal data is masked. */
export function createListing(json: boolean) {
  const counts = new Map<string, number>()
  const inFiles = new Map<string, number>()
  let widths = HEADER.map((cell) => cell.length)

  const addRows = (rows: readonly (readonly string[])[]) => {
    // Columns only grow, because earlier rows are already printed.
    widths = widen(widths, rows)
    return print(formatRows(rows, widths))
  }

  return {
    /** Prints entries. @param file the file that holds them, if they are not on the list in Redis */
    async add(entries: readonly Entry[], source: string, file?: string): Promise<void> {
      if (entries.length === 0) return
      if (file !== undefined) inFiles.set(file, (inFiles.get(file) ?? 0) + entries.length)
      const all = entries.map((entry) => ({ ...toRow(entry, source), ...(file === undefined ? {} : { file }) }))
      if (json) return print(all.map((one) => `${JSON.stringify(one)}\n`).join(''))
      const rows = all.map((one) => {
        const [parkedat, route] = 'route' in one ? [one.parkedat, one.route] : ['?', '?']
        return [parkedat, one.source, one.id, route, one.reason, String(one.bytes), one.detail]
      })
      await addRows(counts.size === 0 ? [HEADER, ...rows] : rows)
      for (const { reason } of all) counts.set(reason, (counts.get(reason) ?? 0) + 1)
    },
    /** Prints the number of entries by reason. */
    async end(emptyWords: string): Promise<void> {
      if (json) return
      const total = [...counts.values()].reduce((sum, count) => sum + count, 0)
      const parts = [...counts].map(([reason, count]) => `${count} ${reason}`)
      await print(
        total === 0 ? `${emptyWords}\n` : `${total} ${total === 1 ? 'entry' : 'entries'}: ${parts.join(', ')}\n`,
      )
      for (const [file, count] of inFiles)
        await print(`${count} of them in ${file}, because the list in Redis was full\n`)
    },
  }
}

/** Formats the result of retrying or dropping an entry as a line. */
export function formatTakenOut(taken: TakenOut, source: string, json: boolean): string {
  if (json) return `${JSON.stringify({ source, ...taken })}\n`
  const { id, state } = taken
  if (state === 'sent') return `${id}  sent to ${taken.queue}\n`
  return state === 'stays' ? `${id}  stays: ${taken.why}\n` : `${id}  ${state === 'gone' ? 'already gone' : state}\n`
}

/** The time between two lines of progress, ms. */
const PROGRESS_MS = 2_000

let lastPrintedMs = performance.now()

/** Prints the progress to standard error if the command takes longer than two seconds. */
export function printProgress({ seen, of }: Page, source: string): void {
  if (performance.now() - lastPrintedMs < PROGRESS_MS) return
  lastPrintedMs = performance.now()
  process.stderr.write(`${source}: read ${seen} of ${of} entries\n`)
}

/** Reports that a command failed. The message tells the user what to do; docs/logs.md explains each code. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly code: 'cli.dev.no_clone' | 'cli.doctor.failed' | 'cli.queues.not_created'

  constructor(code: CliError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
