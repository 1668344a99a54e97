import { useSignal } from '@preact/signals'
import type { CdrDetail } from '../../client/index.ts'
import { Dialog } from '../dialog.tsx'
import { download } from '../format.ts'
import { addressOf } from '../location.tsx'
import { Loaded, useResource } from '../resource.tsx'
import { mayReveal, type Session } from '../session.ts'
import { Facts, Revisions, type Shown } from './cdr-fields.tsx'

/** One CDR: every field, its revisions beside it, and what the dialler sent. */
export function CdrDialog({
  session: { client, revealing },
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
      const ofRevealed = isRevealed.peek()
      return { ofRevealed, detail: await (ofRevealed ? revealing : client).cdr(id, { signal }) }
    },
    [id, isRevealed.value],
  )
  return (
    <Dialog title="CDR" isWide onClose={onClose}>
      <Loaded resource={cdr}>
        {({ detail, ofRevealed }) => (
          <>
            {mayReveal.value && (
              <div class="actions">
                <button class="second" onClick={() => void (isRevealed.value = !isRevealed.value)}>
                  {isRevealed.value ? 'Mask personal data' : 'Reveal personal data'}
                </button>
              </div>
            )}
            {/* Nothing that was revealed stays until the masked answer is there. */}
            {ofRevealed && !isRevealed.value ? (
              <p class="loading">Reading …</p>
            ) : (
              <Content cdr={detail} isRevealed={ofRevealed} />
            )}
          </>
        )}
      </Loaded>
    </Dialog>
  )
}

/** Characters of a payload that are shown at most. */
const MOST_SHOWN = 64_000

function Content({ cdr, isRevealed }: Shown) {
  // What a double cannot hold, and what names something, is text in the answer already: its digits are those that were sent.
  const payload = JSON.stringify(cdr.payload, null, 2)
  return (
    <>
      {cdr.revised ? <Revisions cdr={cdr} isRevealed={isRevealed} /> : <Facts cdr={cdr} isRevealed={isRevealed} />}
      <Links cdr={cdr} />
      <h3 id="cdr-payload">Payload</h3>
      {!isRevealed && <p class="hint">Masked: only the documented fields.</p>}
      <pre tabIndex={0} aria-labelledby="cdr-payload">
        {payload.slice(0, MOST_SHOWN)}
      </pre>
      {payload.length > MOST_SHOWN && (
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
