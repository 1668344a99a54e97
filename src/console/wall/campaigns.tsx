import { useSignal } from '@preact/signals'
import { Fragment } from 'preact'
import { formatCount, formatSeconds, formatShare, formatSpan, formatTime } from '../format.ts'
import type { Figures, Wall, WallCampaign } from '../../client/index.ts'
import type { Session } from '../session.ts'
import { CampaignDetails } from './campaign-details.tsx'
import type { WallModel } from './model.ts'
import { byState, campaignLook, lookOf } from './states.ts'
import { Rate, StateCounts } from './totals.tsx'

/** End reasons that a row has room for. */
const MOST_REASONS = 3

const RANKS: Readonly<Record<string, number>> = { started: 0, stopping: 1 }
const compare = (a: WallCampaign, b: WallCampaign): number =>
  (RANKS[a.status ?? ''] ?? 2) - (RANKS[b.status ?? ''] ?? 2) || a.ref.localeCompare(b.ref, 'en', { numeric: true })

/** Campaigns, those that run first; each opens to its charts. */
export function Campaigns({
  wall,
  model,
  session,
  only,
}: {
  readonly wall: Wall
  readonly model: WallModel
  readonly session: Session
  /** The reference of the campaign that the page is about; undefined: all. */
  readonly only: string | undefined
}) {
  const open = useSignal<ReadonlySet<string>>(new Set())
  const toggle = (ref: string) => {
    const next = new Set(open.peek())
    if (!next.delete(ref)) next.add(ref)
    open.value = next
  }
  const campaigns = wall.campaigns.filter(({ ref }) => only === undefined || ref === only).toSorted(compare)
  if (campaigns.length === 0)
    return (
      <p class="muted">
        {only === undefined
          ? 'No campaign was heard of yet: each appears with its first status or CDR.'
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
          {campaigns.map((campaign) => {
            const isOpen = open.value.has(campaign.ref)
            return (
              <Fragment key={campaign.ref}>
                <Row
                  campaign={campaign}
                  threshold={wall.abandon_rate.threshold}
                  model={model}
                  isOpen={isOpen}
                  onToggle={() => toggle(campaign.ref)}
                />
                {isOpen && (
                  <tr>
                    <td colSpan={9}>
                      <CampaignDetails campaign={campaign} session={session} model={model} />
                    </td>
                  </tr>
                )}
              </Fragment>
            )
          })}
        </tbody>
      </table>
    </div>
  )
}

function Row({
  campaign,
  threshold,
  model,
  isOpen,
  onToggle,
}: {
  readonly campaign: WallCampaign
  readonly threshold: number
  readonly model: WallModel
  readonly isOpen: boolean
  readonly onToggle: () => void
}) {
  const { ref, status, since, unsure, agents, calls, today, last_hour: hour } = campaign
  const { shape, className } = campaignLook(status)
  return (
    <tr>
      <th scope="row" class={unsure === true ? 'unsure' : ''}>
        <b>{ref}</b>{' '}
        <span class={className}>
          <span aria-hidden="true">{shape}</span> {status ?? 'unknown'}
        </span>
        {unsure === true && ', unsure'}
        {since !== null && (
          <small class="muted" title={`since ${formatTime(since)}`}>
            {' '}
            {formatSpan(model.nowMs.peek() - Date.parse(since))}
          </small>
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
        <button class="second" aria-expanded={isOpen} aria-label={`Charts of campaign ${ref}`} onClick={onToggle}>
          Charts <span aria-hidden="true">{isOpen ? '▴' : '▾'}</span>
        </button>
      </td>
    </tr>
  )
}

/** Decoration: the numbers are beside it. */
function AgentsBar({ counts }: { readonly counts: Readonly<Record<string, number>> }) {
  return (
    <div class="agents-bar" aria-hidden="true">
      {byState(counts).map(([state, count]) => (
        <span key={state} class={lookOf(state).className} style={{ flexGrow: count }} />
      ))}
    </div>
  )
}

/** How many CDRs, and the end reasons that they mostly have. */
function Reasons({ figures: { cdrs, end_reasons: reasons } }: { readonly figures: Figures }) {
  const sorted = Object.entries(reasons).toSorted(([, a], [, b]) => b - a)
  const texts = sorted.map(([reason, count]) => `${reason} ${formatCount(count)}`)
  const more = texts.length - MOST_REASONS
  return (
    <>
      <b>{formatCount(cdrs)}</b>{' '}
      <small class="muted" title={texts.join(', ')}>
        {texts.slice(0, MOST_REASONS).join(', ')}
        {more > 0 && `, ${more} more`}
      </small>
    </>
  )
}
