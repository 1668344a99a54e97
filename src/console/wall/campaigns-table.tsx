import { type ReadonlySignal, useComputed, useSignal } from '@preact/signals'
import { useMemo, useRef } from 'preact/hooks'
import type { Figures, WallCampaign } from '../../client/index.ts'
import { useTick, writeText } from '../clock.ts'
import { formatCount, formatSeconds, formatShare, formatSpan, formatTime } from '../format.ts'
import type { Session } from '../session.ts'
import { CampaignDetails } from './campaign-details.tsx'
import { campaignLookOf, lookOf, Rate, sortByState, StateCounts } from './wall-figures.tsx'
import type { WallModel } from './wall-model.ts'

/** End reasons that fit into a row. */
const MAX_REASONS = 3

/** Lists campaigns, running ones first. Each row opens to its charts. */
export function CampaignsTable({
  model,
  session,
  only,
}: {
  readonly model: WallModel
  readonly session: Session
  /** The reference of the only campaign to show. undefined: all. */
  readonly only: string | undefined
}) {
  const open = useSignal<ReadonlySet<string>>(new Set())
  const threshold = useComputed(() => model.wall.value?.abandon_rate.threshold ?? 0)
  // The function must stay the same, because another one would render every row again.
  const toggle = useMemo(
    () => (ref: string) => {
      const next = new Set(open.peek())
      if (!next.delete(ref)) next.add(ref)
      open.value = next
    },
    [],
  )
  const refs = model.campaignRefs.value.filter((ref) => only === undefined || ref === only)
  if (refs.length === 0)
    return (
      <p class="muted">
        {only === undefined
          ? 'No campaigns yet. Each appears with its first status or CDR.'
          : 'No campaign has this reference.'}
      </p>
    )
  return (
    <div class="campaigns" tabIndex={0} role="group" aria-label="Campaigns">
      <table aria-label="Campaigns">
        <thead>
          <tr>
            <th>Campaign</th>
            <th>Agents by state</th>
            <th class="number">Calls</th>
            <th>CDRs, last hour</th>
            <th>CDRs, today</th>
            <th class="number">Answered, hour / today</th>
            <th class="number">Talk / hold</th>
            <th class="number">Abandon rate, hour / today</th>
            <th>
              <span class="hidden-label">Charts</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {refs.map((ref) => {
            const campaign = model.campaignOf(ref)
            return campaign === undefined ? null : (
              <Row
                key={ref}
                campaign={campaign}
                threshold={threshold.value}
                model={model}
                session={session}
                isOpen={open.value.has(ref)}
                onToggle={toggle}
              />
            )
          })}
        </tbody>
      </table>
    </div>
  )
}

/** Renders a campaign, again only when its figures change. */
function Row({
  campaign,
  threshold,
  model,
  session,
  isOpen,
  onToggle,
}: {
  readonly campaign: ReadonlySignal<WallCampaign>
  readonly threshold: number
  readonly model: WallModel
  readonly session: Session
  readonly isOpen: boolean
  readonly onToggle: (ref: string) => void
}) {
  const { ref, status, since, unsure, agents, calls, today, last_hour: hour } = campaign.value
  const { shape, className } = campaignLookOf(status)
  return (
    <>
      <tr>
        <th scope="row" class={unsure === true ? 'unsure' : ''}>
          <b>{ref}</b>{' '}
          <span class={className}>
            <span aria-hidden="true">{shape}</span> {status ?? 'unknown'}
          </span>
          {unsure === true && ', unsure'}
          {since !== null && (
            <>
              {' '}
              <Since since={since} model={model} />
            </>
          )}
        </th>
        <td>
          <AgentsBar counts={agents} />
          <StateCounts counts={agents} />
        </td>
        <td class="number">{formatCount(calls)}</td>
        <td>
          <Reasons figures={hour} />
        </td>
        <td>
          <Reasons figures={today} />
        </td>
        <td class="number">
          {formatCount(hour.answered)} <span class="muted">/ {formatCount(today.answered)}</span>
        </td>
        <td class="number">
          {formatSeconds(hour.average_talk_time)} <span class="muted">/ {formatSeconds(hour.average_hold_time)}</span>
        </td>
        <td class="number" title={`Threshold ${formatShare(threshold)}`}>
          <Rate figures={hour} threshold={threshold} />{' '}
          <span class="muted">
            / <Rate figures={today} threshold={threshold} />
          </span>
        </td>
        <td>
          <button
            class="second"
            aria-expanded={isOpen}
            aria-label={`Charts of campaign ${ref}`}
            onClick={() => onToggle(ref)}
          >
            Charts <span aria-hidden="true">{isOpen ? '▴' : '▾'}</span>
          </button>
        </td>
      </tr>
      {isOpen && (
        <tr>
          <td colSpan={9}>
            <CampaignDetails campaign={campaign.value} session={session} model={model} />
          </td>
        </tr>
      )}
    </>
  )
}

/** Shows for how long a campaign has had its status. */
function Since({ since, model: { nowMs, ticker } }: { readonly since: string; readonly model: WallModel }) {
  const element = useRef<HTMLElement>(null)
  const tick = () => writeText(element.current, formatSpan(nowMs.peek() - Date.parse(since)))
  useTick(ticker, tick)
  return <small ref={element} class="muted" title={`since ${formatTime(since)}`} />
}

/** Shows the share of each state as a bar. Screen readers skip it, because the numbers follow. */
function AgentsBar({ counts }: { readonly counts: Readonly<Record<string, number>> }) {
  return (
    <div class="agents-bar" aria-hidden="true">
      {sortByState(counts).map(([state, count]) => (
        <span key={state} class={lookOf(state).className} style={{ flexGrow: count }} />
      ))}
    </div>
  )
}

/** Shows the number of CDRs and the most frequent end reasons. */
function Reasons({ figures: { cdrs, end_reasons: reasons } }: { readonly figures: Figures }) {
  const sorted = Object.entries(reasons).toSorted(([, a], [, b]) => b - a)
  const texts = sorted.map(([reason, count]) => `${reason} ${formatCount(count)}`)
  const more = texts.length - MAX_REASONS
  return (
    <>
      <b>{formatCount(cdrs)}</b>{' '}
      <small class="muted" title={texts.join(', ')}>
        {texts.slice(0, MAX_REASONS).join(', ')}
        {more > 0 && `, ${more} more`}
      </small>
    </>
  )
}
