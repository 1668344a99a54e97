import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { allItems, type CdrRecord, type CdrsQuery, type Client } from '../../client/index.ts'
import { Dialog } from '../dialog.tsx'
import { download, formatCount, formatNumberOf } from '../format.ts'
import type { Filters } from '../location.tsx'
import { mayReveal, type Session } from '../session.ts'
import { sayProblem } from '../status-bar.tsx'
import { describeFilters, toQuery } from './cdrs-page.tsx'

type State = { readonly at: 'asked' } | { readonly at: 'reading'; readonly rows: number } | Done
type Done = { readonly at: 'done'; readonly rows: number; readonly isComplete: boolean }

/** Saves every CDR that matches the filters as a CSV file. */
export function ExportDialog({
  session: { client, revealing },
  filters,
  onClose,
}: {
  readonly session: Session
  readonly filters: Filters
  readonly onClose: () => void
}) {
  const state = useSignal<State>({ at: 'asked' })
  const isPersonal = useSignal(false)
  const ended = useRef(new AbortController())
  useEffect(() => () => ended.current.abort(), [])
  const run = async () => {
    ended.current = new AbortController()
    const { signal } = ended.current
    state.value = { at: 'reading', rows: 0 }
    try {
      const { file, rows, isComplete } = await exportCdrs(isPersonal.peek() ? revealing : client, toQuery(filters), {
        signal,
        onProgress: (read) => void (state.value = { at: 'reading', rows: read }),
      })
      download(`cdrs-${new Date().toISOString().slice(0, 16).replace(':', '-')}.csv`, file, 'text/csv')
      state.value = { at: 'done', rows, isComplete }
    } catch (error) {
      state.value = { at: 'asked' }
      if (!signal.aborted) sayProblem(error)
    }
  }
  const now = state.value
  return (
    <Dialog title="Export CDRs as CSV" onClose={onClose}>
      <p>
        Every CDR that matches: {describeFilters(filters)}. One file holds at most {formatCount(MOST_ROWS)}.
      </p>
      <p class="hint">
        Text that a spreadsheet would run as a formula begins with an apostrophe, so a number that begins with + does
        too.
      </p>
      {mayReveal.value ? (
        <label class="check">
          <input
            type="checkbox"
            checked={isPersonal.value}
            disabled={now.at === 'reading'}
            onChange={({ currentTarget }) => void (isPersonal.value = currentTarget.checked)}
          />
          With personal data: numbers, contacts and recordings are not masked in the file
        </label>
      ) : (
        <p class="hint">Numbers, contacts and recordings are masked: your token may not see them.</p>
      )}
      <div role="status">
        {now.at === 'reading' && (
          <>
            <progress aria-label="CDRs read" />
            <p>{formatNumberOf(now.rows, 'CDR')} read …</p>
          </>
        )}
        {now.at === 'done' && (
          <p class={now.isComplete ? 'good' : 'warn'}>
            {now.rows === 0
              ? 'No CDR matches: the file has only its heading.'
              : now.isComplete
                ? `Saved ${formatNumberOf(now.rows, 'CDR')}.`
                : `Saved the newest ${formatCount(now.rows)} CDRs. More match: set "to" to where this file ends, and export the rest.`}
          </p>
        )}
      </div>
      <div class="actions">
        {now.at === 'reading' ? (
          <button class="second" onClick={() => ended.current.abort()}>
            Cancel
          </button>
        ) : (
          <>
            <button onClick={() => void run()}>{now.at === 'done' ? 'Export again' : 'Export'}</button>
            <button class="second" onClick={onClose}>
              Close
            </button>
          </>
        )}
      </div>
    </Dialog>
  )
}

/** How many CDRs one file holds at most: the tab holds them until they are saved. */
export const MOST_ROWS = 100_000

const COLUMNS = [
  'dialed_at',
  'campaign_ref',
  'extension',
  'number',
  'dial_number',
  'contact_ref',
  'end_reason',
  'end_code',
  'call_time',
  'hold_time',
  'call_dir',
  'recording_url',
  'call_ref',
  'source',
  'received_at',
  'revised',
  'id',
] as const satisfies readonly (keyof CdrRecord)[]

export type Exported = {
  readonly file: Blob
  readonly rows: number
  /** False: there are more than a file holds, and these are the newest. */
  readonly isComplete: boolean
}

/** Rows between two texts of the file: many short texts cost more than they hold. */
const ROWS_OF_A_PART = 500

/** Reads every CDR that fits, page by page, into a CSV file. @throws ApiProblem, or the reason of the signal */
export async function exportCdrs(
  client: Client,
  query: CdrsQuery,
  { signal, onProgress }: { readonly signal: AbortSignal; readonly onProgress: (rows: number) => void },
): Promise<Exported> {
  const parts: string[] = [BYTE_ORDER_MARK + formatLine(COLUMNS)]
  let [part, rows] = ['', 0]
  const finish = (isComplete: boolean): Exported => {
    const file = new Blob([...parts, part], { type: 'text/csv;charset=utf-8' })
    return { file, rows, isComplete }
  }
  for await (const cdr of allItems(client.cdrs, { ...query, signal })) {
    if (rows === MOST_ROWS) return finish(false)
    part += formatLine(COLUMNS.map((column) => cdr[column]))
    if (++rows % ROWS_OF_A_PART === 0) {
      parts.push(part)
      part = ''
      onProgress(rows)
    }
  }
  return finish(true)
}

/** CSV as RFC 4180 has it, safe to open in a spreadsheet. */

/** Excel takes a file without it for one in an old character set. */
export const BYTE_ORDER_MARK = '\ufeff'

/**
 * What a spreadsheet runs as a formula begins with one of these, in ASCII or in full width. Source: "CSV Injection" of OWASP,
 * https://owasp.org/www-community/attacks/CSV_Injection
 */
const FORMULA = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/

/** A cell: a number as it is; text in quotes, behind an apostrophe where it would be a formula. */
export function formatCell(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return `"${(FORMULA.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`
}

export const formatLine = (cells: readonly unknown[]): string => `${cells.map(formatCell).join(',')}\r\n`
