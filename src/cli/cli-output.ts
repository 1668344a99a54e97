import { toShown, UNREADABLE, type Entry } from '../relay/parking/parked-entry.ts'
import type { Page } from '../relay/parking/parked-list.ts'
import type { TakenOut } from '../relay/parking/take-out.ts'

/** Writes to standard output; resolves when it is written, so that a slow reader fills no memory. */
export function print(text: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => (error ? reject(error) : resolve()))
  })
}

/** The widths of columns that have room for these rows as well. */
export const widen = (widths: readonly number[], rows: readonly (readonly string[])[]): number[] =>
  widths.map((width, column) => rows.reduce((most, row) => Math.max(most, row[column]?.length ?? 0), width))

/** A line for each row, its cells below one another. */
export function formatRows(rows: readonly (readonly string[])[], widths: readonly number[]): string {
  const lines = rows.map((row) => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  '))
  return lines.map((line) => `${line.trimEnd()}\n`).join('')
}

const HEADER = ['PARKED AT', 'SOURCE', 'ID', 'ROUTE', 'REASON', 'BYTES', 'DETAIL']

const toRow = (entry: Entry, source: string) =>
  entry.kind === 'parked'
    ? toShown(entry, source)
    : { source, id: entry.id, reason: UNREADABLE, detail: entry.why, bytes: entry.raw.length }

/** A table, or a line of JSON each. Personal data is masked. */
export function createListing(json: boolean) {
  const counts = new Map<string, number>()
  const inFiles = new Map<string, number>()
  let widths = HEADER.map((cell) => cell.length)

  const addRows = (rows: readonly (readonly string[])[]) => {
    // A column only grows: what was printed is printed.
    widths = widen(widths, rows)
    return print(formatRows(rows, widths))
  }

  return {
    /** `file`: where they are, unless on the list in Redis. */
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
    /** How many there were. */
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

/** A line for what became of an entry. */
export function formatTakenOut(taken: TakenOut, source: string, json: boolean): string {
  if (json) return `${JSON.stringify({ source, ...taken })}\n`
  const { id, state } = taken
  if (state === 'sent') return `${id}  sent to ${taken.queue}\n`
  return state === 'stays' ? `${id}  stays: ${taken.why}\n` : `${id}  ${state === 'gone' ? 'already gone' : state}\n`
}

/** Between two lines of progress, ms. */
const SAY_MS = 2_000

let said = performance.now()

/** Says on standard error how far it is, if it takes long. */
export function sayProgress({ seen, of }: Page, source: string): void {
  if (performance.now() - said < SAY_MS) return
  said = performance.now()
  process.stderr.write(`${source}: read ${seen} of ${of} entries\n`)
}

/** Says why a command failed; the message is for whoever ran it, and says what to do. docs/logs.md explains each code. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly code: 'cli.dev.no_clone' | 'cli.doctor.failed' | 'cli.queues.not_created'

  constructor(code: CliError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
