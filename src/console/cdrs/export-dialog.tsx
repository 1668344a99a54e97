import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { Dialog } from '../dialog.tsx'
import { download, formatCount, formatNumberOf } from '../format.ts'
import type { Filters } from '../location.tsx'
import { sayProblem } from '../pending.tsx'
import { mayReveal, type Session } from '../session.ts'
import { exportCdrs, MOST_ROWS } from './export.ts'
import { describeFilters, toQuery } from './query.ts'

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
