import type { Replay, ReplayMessage } from '../../client/index.ts'
import { formatCount } from '../format.ts'

/** How often (ms) replays are read while one runs: a message that is sent changes nothing in the read model. */
export const RUNNING_MS = 2_000
/** How often (ms) otherwise: somebody else may start one. */
export const RESTING_MS = 15_000

export type Outcome = ReplayMessage['outcome']

/** What may have become of a message of a replay. */
export const OUTCOMES: Readonly<
  Record<Outcome, { readonly label: string; readonly class: string; readonly means: string }>
> = {
  waiting: { label: 'waiting', class: '', means: 'Not sent yet' },
  sent: { label: 'sent', class: '', means: 'Sent to its queue; the outcome is open' },
  handled: { label: 'handled', class: 'good', means: 'Handled by its function, and parked no longer' },
  failed_again: { label: 'failed again', class: 'bad', means: 'Parked again, with its new reason' },
  skipped: { label: 'skipped', class: 'warn', means: 'Not sent: gone, deleted, or sent by another replay' },
}
export const OUTCOME_NAMES = Object.keys(OUTCOMES) as Outcome[]

export function State({ replay: { state, counts, waits_for: waitsFor } }: { readonly replay: Replay }) {
  if (waitsFor === 'relay') return <span class="tag warn">waits for a relay</span>
  if (state === 'running') return <span class="tag">running</span>
  if (state === 'stopped') return <span class="tag warn">stopped</span>
  return <span class={`tag ${counts.failed_again > 0 ? 'bad' : 'good'}`}>done</span>
}

/** How many of its messages have an outcome. */
export function Progress({ replay: { counts, state, relay } }: { readonly replay: Replay }) {
  const ended = counts.handled + counts.failed_again + counts.skipped
  const all = ended + counts.waiting + counts.sent
  if (all === 0) return <>{relay > 0 ? 'by the relay' : state === 'running' ? 'starting' : '–'}</>
  return (
    <progress
      max={all}
      value={ended}
      aria-label={`${formatCount(ended)} of ${formatCount(all)} messages`}
      title={`${formatCount(ended)} of ${formatCount(all)}`}
    />
  )
}
