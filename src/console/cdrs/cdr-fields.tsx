import type { ComponentChildren } from 'preact'
import type { CdrDetail } from '../../client/index.ts'
import { formatTime } from '../format.ts'

type Revision = CdrDetail['revisions'][number]

/** The fields of a CDR in the order in which people ask for them. */
const FIELDS = [
  ['dialed_at', 'Dialled'],
  ['received_at', 'Received'],
  ['campaign_ref', 'Campaign'],
  ['extension', 'Agent'],
  ['number', 'Number'],
  ['dial_number', 'Number as dialled'],
  ['contact_ref', 'Contact'],
  ['end_reason', 'End reason'],
  ['end_code', 'Q.850 cause'],
  ['call_time', 'Talk time (s)'],
  ['hold_time', 'Hold time (s)'],
  ['call_dir', 'Direction'],
  ['recording_url', 'Recording'],
  ['call_ref', 'Call'],
  ['source', 'Source'],
  ['unsure', 'Not read with certainty'],
] as const satisfies readonly (readonly [keyof Revision, string])[]

const TIMES: ReadonlySet<keyof Revision> = new Set(['dialed_at', 'received_at'])

const textOf = (cdr: Revision, field: keyof Revision): string => {
  const value = cdr[field]
  if (value === null) return '–'
  if (Array.isArray(value)) return value.length === 0 ? '–' : value.join(', ')
  return TIMES.has(field) ? formatTime(String(value)) : String(value)
}

export type Shown = { readonly cdr: CdrDetail; readonly isRevealed: boolean }

/** The value of a field; a recording can be opened once it is revealed. */
function valueOf(cdr: Revision, field: keyof Revision, isRevealed: boolean): ComponentChildren {
  const text = textOf(cdr, field)
  if (field !== 'recording_url' || !isRevealed || !isWebAddress(text)) return text
  return (
    <a href={text} target="_blank" rel="noreferrer noopener">
      {text}
    </a>
  )
}

/** A dialler may write anything, such as `javascript:`. */
const isWebAddress = (text: string): boolean => /^https?:$/.test(URL.parse(text)?.protocol ?? '')

/** Every field, one below the other. */
export function Facts({ cdr, isRevealed }: Shown) {
  return (
    <dl class="facts">
      {FIELDS.map(([field, title]) => (
        <>
          <dt>{title}</dt>
          <dd>{valueOf(cdr, field, isRevealed)}</dd>
        </>
      ))}
    </dl>
  )
}

/** The latest beside those that came before under the same key, what differs marked. */
export function Revisions({ cdr, isRevealed }: Shown) {
  return (
    <>
      <p>
        The dialler sent this CDR {cdr.revisions.length + 1} times with different content. The first column is shown in
        lists; <mark>≠</mark> marks what differs from it.
      </p>
      {!isRevealed && <p class="hint">Masked values may look the same and still differ.</p>}
      <div class="scroll" tabIndex={0} role="region" aria-label="Revisions">
        <table class="revisions">
          <thead>
            <tr>
              <th>Field</th>
              <th>Shown, received {formatTime(cdr.received_at)}</th>
              {cdr.revisions.map(({ received_at }) => (
                <th>Received {formatTime(received_at)}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {FIELDS.map(([field, title]) => (
              <tr>
                <th scope="row">{title}</th>
                <td>{valueOf(cdr, field, isRevealed)}</td>
                {cdr.revisions.map((revision) => {
                  const value = valueOf(revision, field, isRevealed)
                  return <td>{textOf(revision, field) === textOf(cdr, field) ? value : <mark>≠ {value}</mark>}</td>
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  )
}
