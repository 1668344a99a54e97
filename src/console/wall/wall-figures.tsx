import type { Figures, Wall } from '../../client/index.ts'
import { formatCount, formatNumberOf, formatSeconds, formatShare, formatTime } from '../format.ts'

/** Shows the figures of the call centre in one line. */
export function Totals({ wall }: { readonly wall: Wall }) {
  const { totals, abandon_rate } = wall
  const { today, last_hour: hour } = totals
  const agents = Object.values(totals.agents).reduce((sum, count) => sum + count, 0)
  return (
    <section class="totals" aria-label="Totals">
      <div class="figure figure-agents">
        <h2>Agents</h2>
        <p class="big">{formatCount(agents)}</p>
        <StateCounts counts={totals.agents} />
        {totals.unsure > 0 && <p class="tag warn unsure">{formatCount(totals.unsure)} unsure</p>}
      </div>
      <div class="figure">
        <h2>Calls in progress</h2>
        <p class="big">{formatCount(totals.calls)}</p>
      </div>
      <div class="figure">
        <h2>CDRs, last hour</h2>
        <p class="big">{formatCount(hour.cdrs)}</p>
        <p class="muted">today {formatCount(today.cdrs)}</p>
      </div>
      <div class="figure">
        <h2>Answered, last hour</h2>
        <p class="big">{formatCount(hour.answered)}</p>
        <p class="muted">today {formatCount(today.answered)}</p>
      </div>
      <div class="figure">
        <h2>Average talk time</h2>
        <p class="big">{formatSeconds(hour.average_talk_time)}</p>
        <p class="muted">today {formatSeconds(today.average_talk_time)}</p>
      </div>
      <div class="figure">
        <h2>Average hold time</h2>
        <p class="big">{formatSeconds(hour.average_hold_time)}</p>
        <p class="muted">today {formatSeconds(today.average_hold_time)}</p>
      </div>
      <div class="figure">
        <h2>
          Abandon rate{' '}
          <button class="quiet about" popovertarget="abandon-formula" aria-label="How the abandon rate is calculated">
            ?
          </button>
        </h2>
        <p class="big">
          <Rate figures={hour} threshold={abandon_rate.threshold} />
        </p>
        <p class="muted">
          today <Rate figures={today} threshold={abandon_rate.threshold} />
        </p>
        <div id="abandon-formula" popover="auto" class="box formula">
          <h3>Abandon rate (approximate)</h3>
          <p>{abandon_rate.formula}</p>
          <dl class="facts">
            <dt>Last hour</dt>
            <dd>{formatRate(hour)}</dd>
            <dt>Today</dt>
            <dd>{formatRate(today)}</dd>
            <dt>Threshold</dt>
            <dd>{formatShare(abandon_rate.threshold)}</dd>
          </dl>
          <p class="muted">
            CDRs do not say when a call was answered, so this is an approximation. The last hour starts at a full
            quarter of an hour: {formatTime(hour.since)}.
          </p>
        </div>
      </div>
    </section>
  )
}

const formatRate = ({ abandoned: { rate, numerator, denominator } }: Figures): string =>
  `${formatCount(numerator)} of ${formatNumberOf(denominator, 'call')}${rate === null ? '' : `: ${formatShare(rate)}`}`

/** Shows an abandon rate. A rate above the threshold has a mark in addition to the colour. */
export function Rate({ figures, threshold }: { readonly figures: Figures; readonly threshold: number }) {
  const { rate, numerator, denominator } = figures.abandoned
  if (rate === null) return <span title="No calls to compare yet">–</span>
  const isOver = rate > threshold
  return (
    <span class={isOver ? 'bad' : ''} title={`${formatCount(numerator)} of ${formatCount(denominator)}`}>
      {isOver && <span aria-hidden="true">▲ </span>}
      {formatShare(rate)}
      <span class="hidden-label">
        {isOver ? ', above' : ', within'} the threshold of {formatShare(threshold)}
      </span>
    </span>
  )
}

/** Shows the number of agents in each state, with its shape. */
export function StateCounts({ counts }: { readonly counts: Readonly<Record<string, number>> }) {
  return (
    <ul class="state-counts">
      {sortByState(counts).map(([state, count]) => {
        const { shape, label, className } = lookOf(state)
        return (
          <li key={state} class={className} title={label}>
            <span class="shape" aria-hidden="true">
              {shape}
            </span>
            {formatCount(count)} <span class="state-label">{label}</span>
          </li>
        )
      })}
    </ul>
  )
}

/* Each state has a shape in addition to its colour, for people who cannot tell colours apart and for displays that are far away. */

export const AGENT_STATES = ['available', 'busy', 'wrapup', 'logging_in', 'logging_out', 'offline'] as const

/** The state of an agent without an agents/status yet. */
export const UNKNOWN = 'unknown'

type Look = {
  readonly shape: string
  readonly label: string
  /** A class of wall.css: `state-…`. */
  readonly className: string
}

const LOOKS: Readonly<Record<string, Look>> = {
  available: { shape: '●', label: 'available', className: 'state-available' },
  busy: { shape: '◆', label: 'busy', className: 'state-busy' },
  wrapup: { shape: '▲', label: 'wrap-up', className: 'state-wrapup' },
  logging_in: { shape: '◐', label: 'logging in', className: 'state-logging' },
  logging_out: { shape: '◑', label: 'logging out', className: 'state-logging' },
  offline: { shape: '○', label: 'offline', className: 'state-offline' },
  [UNKNOWN]: { shape: '□', label: 'unknown', className: 'state-offline' },
}

/** Returns the look of a state. An unknown state, of a newer dialler, is shown by its name. */
export const lookOf = (status: string | null): Look =>
  (Object.hasOwn(LOOKS, status ?? UNKNOWN) ? LOOKS[status ?? UNKNOWN] : undefined) ?? {
    shape: '■',
    label: status ?? UNKNOWN,
    className: 'state-other',
  }

const ORDER: readonly string[] = AGENT_STATES.filter((state) => state !== 'offline')
const rankOf = (status: string): number => {
  if (status === 'offline' || status === UNKNOWN) return ORDER.length + 1
  const at = ORDER.indexOf(status)
  return at === -1 ? ORDER.length : at
}

/** Sorts counts by state, working agents first. States without agents are left out. */
export const sortByState = (counts: Readonly<Record<string, number>>): readonly (readonly [string, number])[] =>
  Object.entries(counts)
    .filter(([, count]) => count > 0)
    .toSorted(([a], [b]) => rankOf(a) - rankOf(b) || (a < b ? -1 : 1))

/** Compares two states in the order of `sortByState`. */
export const compareStates = (a: string | null, b: string | null): number =>
  rankOf(a ?? UNKNOWN) - rankOf(b ?? UNKNOWN) || ((a ?? '') < (b ?? '') ? -1 : Number(a !== b))

/** Returns the look of a campaign's status. */
export function campaignLookOf(status: string | null): { readonly shape: string; readonly className: string } {
  if (status === 'started') return { shape: '▶', className: 'good' }
  if (status === 'stopping') return { shape: '◧', className: 'warn' }
  if (status === 'stopped') return { shape: '■', className: 'muted' }
  if (status === 'completed') return { shape: '✓', className: 'muted' }
  return { shape: '□', className: 'muted' }
}
