import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import type { CdrDetail } from '../../client/index.ts'
import { Dialog } from '../focus.tsx'
import { download, formatTime } from '../format.ts'
import { addressOf } from '../location.tsx'
import { Loaded, useResource } from '../resource.tsx'
import { mayReveal, type Session } from '../session.ts'

/** Shows all fields of a CDR, its revisions, and the payload that the dialler sent. */
export function CdrDialog({
  session: { client, unmaskedClient },
  id,
  onClose,
}: {
  readonly session: Session
  readonly id: string
  readonly onClose: () => void
}) {
  const isRevealed = useSignal(false)
  const cdr = useResource(
    async (signal) => {
      const isUnmasked = isRevealed.peek()
      return { isUnmasked, detail: await (isUnmasked ? unmaskedClient : client).cdr(id, { signal }) }
    },
    [id, isRevealed.value],
  )
  return (
    <Dialog title="CDR" isWide onClose={onClose}>
      <Loaded resource={cdr}>
        {({ detail, isUnmasked }) => (
          <>
            {mayReveal.value && (
              <div class="actions">
                <button class="second" onClick={() => void (isRevealed.value = !isRevealed.value)}>
                  {isRevealed.value ? 'Mask personal data' : 'Reveal personal data'}
                </button>
              </div>
            )}
            {/* Revealed data is hidden at once, before the masked answer arrives. */}
            {isUnmasked && !isRevealed.value ? (
              <p class="loading">Loading …</p>
            ) : (
              <Content cdr={detail} isRevealed={isUnmasked} />
            )}
          </>
        )}
      </Loaded>
    </Dialog>
  )
}

/** Characters of a payload that are shown. */
const MAX_SHOWN = 64_000

function Content({ cdr, isRevealed }: CdrProps) {
  // The API returns ids, and numbers that a double cannot hold, as strings, so every digit is as the dialler sent it.
  const payload = JSON.stringify(cdr.payload, null, 2)
  return (
    <>
      {cdr.revised ? <Revisions cdr={cdr} isRevealed={isRevealed} /> : <Facts cdr={cdr} isRevealed={isRevealed} />}
      <Links cdr={cdr} />
      <h3 id="cdr-payload">Payload</h3>
      {!isRevealed && <p class="hint">Personal data is masked. Only documented fields are shown.</p>}
      <pre tabIndex={0} aria-labelledby="cdr-payload">
        {payload.slice(0, MAX_SHOWN)}
      </pre>
      {payload.length > MAX_SHOWN && (
        <div class="actions">
          <span class="warn">Only the first 64,000 characters are shown.</span>
          <button class="second" onClick={() => download(`cdr-${cdr.id}.json`, payload, 'application/json')}>
            Download all
          </button>
        </div>
      )}
    </>
  )
}

function Links({ cdr: { campaign_ref: campaign, extension: agent } }: { readonly cdr: CdrDetail }) {
  return (
    <p class="links">
      {agent !== null && (
        <>
          Agent {agent}: <a href={addressOf('cdrs', { agent })}>CDRs</a>,{' '}
          <a href={addressOf('wall', { open: agent })}>wall</a>,{' '}
          <a href={addressOf('stream', { reference: agent })}>stream</a>
        </>
      )}
      {agent !== null && campaign !== null && ' · '}
      {campaign !== null && (
        <>
          Campaign {campaign}: <a href={addressOf('cdrs', { campaign })}>CDRs</a>,{' '}
          <a href={addressOf('wall', { campaign })}>wall</a>
        </>
      )}
    </p>
  )
}

type Revision = CdrDetail['revisions'][number]

/** The fields of a CDR, in the order in which they are most often needed. */
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
  ['unsure', 'Unsure fields'],
] as const satisfies readonly (readonly [keyof Revision, string])[]

const TIMES: ReadonlySet<keyof Revision> = new Set(['dialed_at', 'received_at'])

const textOf = (cdr: Revision, field: keyof Revision): string => {
  const value = cdr[field]
  if (value === null) return '–'
  if (Array.isArray(value)) return value.length === 0 ? '–' : value.join(', ')
  return TIMES.has(field) ? formatTime(String(value)) : String(value)
}

type CdrProps = { readonly cdr: CdrDetail; readonly isRevealed: boolean }

/** Returns the value of a field. A revealed recording becomes a link. */
function valueOf(cdr: Revision, field: keyof Revision, isRevealed: boolean): ComponentChildren {
  const text = textOf(cdr, field)
  if (field !== 'recording_url' || !isRevealed || !isWebAddress(text)) return text
  return (
    <a href={text} target="_blank" rel="noreferrer noopener">
      {text}
    </a>
  )
}

/** The dialler may send any text, such as a `javascript:` URL, which must not become a link. */
const isWebAddress = (text: string): boolean => /^https?:$/.test(URL.parse(text)?.protocol ?? '')

/** Shows every field, one below the other. */
function Facts({ cdr, isRevealed }: CdrProps) {
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

/** Shows the latest revision beside the earlier ones with the same key. Differences are marked. */
function Revisions({ cdr, isRevealed }: CdrProps) {
  return (
    <>
      <p>
        The dialler sent this CDR {cdr.revisions.length + 1} times with different content. Lists show the first column;{' '}
        <mark>≠</mark> marks values that differ from it.
      </p>
      {!isRevealed && <p class="hint">Masked values may look the same even if the values differ.</p>}
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
