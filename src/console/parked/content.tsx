import { useSignal } from '@preact/signals'
import type { ApiProblem, ParkedDetail } from '../../client/index.ts'
import { download, formatBytes } from '../format.ts'
import { indentJson } from '../json-text.ts'
import { Problem } from '../resource.tsx'
import { mayOperate, type Session } from '../session.ts'

/** Longest content (bytes) that is shown whole. */
const MOST_SHOWN = 64_000

export type ParkedContentProps = {
  readonly session: Session
  readonly entry: ParkedDetail
}

/** What a replay sends again: without personal data until an operator reveals it. It is text, whatever it holds. */
export function ParkedContent({ session, entry }: ParkedContentProps) {
  const revealed = useSignal<ParkedDetail['content'] | undefined>(undefined)
  const problem = useSignal<ApiProblem | undefined>(undefined)
  const isBusy = useSignal(false)
  const content = revealed.value ?? entry.content
  if (content === null)
    return (
      <section>
        <h3>Content</h3>
        <p class="hint">
          The relay keeps the content of what it parked itself. <code>enigma-relay parked</code> shows it on its host.
        </p>
      </section>
    )
  const reveal = () => {
    isBusy.value = true
    problem.value = undefined
    session.revealing
      .parkedEntry(entry.id, { reveal: true })
      .then(
        (answer) => void (revealed.value = answer.content),
        (error: ApiProblem) => void (problem.value = error),
      )
      .finally(() => void (isBusy.value = false))
  }
  const { text, masked: isMasked } = content
  const bytes = new TextEncoder().encode(text).length
  const isCut = bytes > MOST_SHOWN
  const save = () => download(`parked-${entry.id.replace(/[^\w-]/g, '-')}${isMasked ? '-masked' : ''}.json`, text)
  return (
    <section class="content">
      <h3>Content</h3>
      <div class="actions">
        {isMasked && <span class="hint">Personal data is masked.</span>}
        {isMasked && mayOperate.value && (
          <>
            <button class="second" disabled={isBusy.value} onClick={reveal}>
              Reveal
            </button>
            <span class="hint">The audit log notes who revealed it.</span>
          </>
        )}
        {isCut && (
          <>
            <span class="hint">
              The first {formatBytes(MOST_SHOWN)} of {formatBytes(bytes)} are shown.
            </span>
            <button class="second" onClick={save}>
              Download all
            </button>
          </>
        )}
      </div>
      {problem.value !== undefined && <Problem problem={problem.value} />}
      <pre tabIndex={0} role="region" aria-label="Content">
        {isCut ? `${text.slice(0, MOST_SHOWN)}…` : indentJson(text)}
      </pre>
    </section>
  )
}
