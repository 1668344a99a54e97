import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { allItems, type CdrRecord, type CdrsQuery, type Client } from '../../client/index.ts'
import { Dialog } from '../focus.tsx'
import { download, formatCount, formatNumberOf } from '../format.ts'
import { mayReveal, type Session } from '../session.ts'
import { showError } from '../status-bar.tsx'

type State = { readonly at: 'asked' } | { readonly at: 'reading'; readonly rows: number } | Done
type Done = { readonly at: 'done'; readonly rows: number; readonly isComplete: boolean }

/** Asks before it saves all CDRs that match the filters as a CSV file. */
export function ExportDialog({
  session: { client, unmaskedClient },
  query,
  description,
  onClose,
}: {
  readonly session: Session
  readonly query: CdrsQuery
  /** The filters in words. */
  readonly description: string
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
      const { file, rows, isComplete } = await exportCdrs(isPersonal.peek() ? unmaskedClient : client, query, {
        signal,
        onProgress: (read) => void (state.value = { at: 'reading', rows: read }),
      })
      download(`cdrs-${new Date().toISOString().slice(0, 16).replace(':', '-')}.csv`, file, 'text/csv')
      state.value = { at: 'done', rows, isComplete }
    } catch (error) {
      state.value = { at: 'asked' }
      if (!signal.aborted) showError(error)
    }
  }
  const now = state.value
  return (
    <Dialog title="Export CDRs as CSV" onClose={onClose}>
      <p>
        The file will contain every CDR that matches: {description}. A file holds at most {formatCount(MAX_ROWS)} CDRs.
      </p>
      <p class="hint">
        Text that a spreadsheet would run as a formula gets an apostrophe in front. This includes numbers that begin
        with +.
      </p>
      {mayReveal.value ? (
        <label class="check">
          <input
            type="checkbox"
            checked={isPersonal.value}
            disabled={now.at === 'reading'}
            onChange={({ currentTarget }) => void (isPersonal.value = currentTarget.checked)}
          />
          Include personal data: numbers, contacts and recordings are not masked in the file
        </label>
      ) : (
        <p class="hint">Numbers, contacts and recordings are masked, because your token may not see them.</p>
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
              ? 'No CDR matches. The file contains only the header line.'
              : now.isComplete
                ? `Saved ${formatNumberOf(now.rows, 'CDR')}.`
                : `Saved the newest ${formatCount(now.rows)} CDRs. More CDRs match: set "to" to the time of the last CDR in this file, and export the rest.`}
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

/** CDRs in one file: the tab keeps them in memory until they are saved. */
const MAX_ROWS = 100_000

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

type Exported = {
  readonly file: Blob
  readonly rows: number
  /** False if more CDRs match than a file holds. The file then has the newest. */
  readonly isComplete: boolean
}

/** Rows that are joined to one string: many short strings need more memory than their content. */
const ROWS_PER_PART = 500

/** Reads all matching CDRs, page by page, into a CSV file. @throws ApiProblem, or the reason of the signal */
async function exportCdrs(
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
    if (rows === MAX_ROWS) return finish(false)
    part += formatLine(COLUMNS.map((column) => cdr[column]))
    if (++rows % ROWS_PER_PART === 0) {
      parts.push(part)
      part = ''
      onProgress(rows)
    }
  }
  return finish(true)
}

/** Without it, Excel reads the file in a legacy character set instead of UTF-8. */
const BYTE_ORDER_MARK = '\ufeff'

/**
 * Matches text that a spreadsheet runs as a formula: these first characters, in ASCII or in full width. Source: "CSV Injection" of OWASP,
 * https://owasp.org/www-community/attacks/CSV_Injection
 */
const FORMULA = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/

/** Formats a cell for CSV (RFC 4180): numbers unchanged, text in quotes. Text that would run as a formula gets an apostrophe in front. */
export function formatCell(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return `"${(FORMULA.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`
}

/** Formats a line of cells, with its line ending. */
export const formatLine = (cells: readonly unknown[]): string => `${cells.map(formatCell).join(',')}\r\n`
