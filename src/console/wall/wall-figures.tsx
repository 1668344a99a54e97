import type { Figures, Wall } from '../../client/index.ts'
import { formatCount, formatNumberOf, formatSeconds, formatShare, formatTime } from '../format.ts'

/** The call centre in one line of figures. */
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
            CDRs do not say when a call was answered, so this is an approximation. The last hour starts with a quarter
            of an hour: {formatTime(hour.since)}.
          </p>
        </div>
      </div>
    </section>
  )
}

const formatRate = ({ abandoned: { rate, numerator, denominator } }: Figures): string =>
  `${formatCount(numerator)} of ${formatNumberOf(denominator, 'call')}${rate === null ? '' : `: ${formatShare(rate)}`}`

/** An abandon rate against its threshold, with a mark besides the colour. */
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

/** How many agents are in which state: shapes and numbers. */
export function StateCounts({ counts }: { readonly counts: Readonly<Record<string, number>> }) {
  return (
    <ul class="state-counts">
      {byState(counts).map(([state, count]) => {
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

/** States of agents: each has a shape besides its colour, since not everybody sees colours, and a screen on a wall is far away. */

export const AGENT_STATES = ['available', 'busy', 'wrapup', 'logging_in', 'logging_out', 'offline'] as const

/** No state was heard. */
export const UNKNOWN = 'unknown'

type Look = {
  readonly shape: string
  readonly label: string
  /** Of wall.css: `state-…`. */
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

/** How a state is shown; a state of a newer dialler under its own name. */
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

/** Counts by state, those that work first; states without anybody are left out. */
export const byState = (counts: Readonly<Record<string, number>>): readonly (readonly [string, number])[] =>
  Object.entries(counts)
    .filter(([, count]) => count > 0)
    .toSorted(([a], [b]) => rankOf(a) - rankOf(b) || (a < b ? -1 : 1))

/** The same for two states of agents. */
export const compareStates = (a: string | null, b: string | null): number =>
  rankOf(a ?? UNKNOWN) - rankOf(b ?? UNKNOWN) || ((a ?? '') < (b ?? '') ? -1 : Number(a !== b))

/** States of campaigns. */
export function campaignLook(status: string | null): { readonly shape: string; readonly className: string } {
  if (status === 'started') return { shape: '▶', className: 'good' }
  if (status === 'stopping') return { shape: '◧', className: 'warn' }
  if (status === 'stopped') return { shape: '■', className: 'muted' }
  if (status === 'completed') return { shape: '✓', className: 'muted' }
  return { shape: '□', className: 'muted' }
}
