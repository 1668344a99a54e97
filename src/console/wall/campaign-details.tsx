import type { CampaignDetail, Figures, Stats, WallCampaign } from '../../client/index.ts'
import { formatCount, formatTime } from '../format.ts'
import { Loaded, useResource } from '../resource.tsx'
import type { Session } from '../session.ts'
import { Chart, type ChartData } from './chart.tsx'
import type { WallModel } from './wall-model.ts'

/** Shows the charts of a campaign, and all its end reasons. */
export function CampaignDetails({
  campaign: { ref, today, last_hour: hour },
  session,
  model,
}: {
  readonly campaign: WallCampaign
  readonly session: Session
  readonly model: WallModel
}) {
  const detail = useResource(
    async (signal) => {
      await model.untilLive(signal)
      return session.client.campaign(ref, { signal })
    },
    [ref],
    { refreshOn: (change) => change.campaign_ref === ref || change.ref === ref, minIntervalMs: 5_000, pollMs: 60_000 },
  )
  return (
    <div class="campaign-details">
      <ReasonTable hour={hour} today={today} />
      <Loaded resource={detail}>
        {(data) => (
          <>
            <Chart label={`CDRs of campaign ${ref} by hour and end reason`} kind="bars" data={byHour(data)} />
            {data.stats.flatMap((stats) =>
              toCharts(stats).map(({ name, data: own }) => (
                <Chart
                  key={`${stats.source} ${name}`}
                  label={`Counters of campaign ${ref}, source ${stats.source}: ${name}`}
                  kind="lines"
                  data={own}
                />
              )),
            )}
            {data.stats.length === 0 && (
              <p class="muted">The dialler has sent no counters (campaigns/stats) of this campaign.</p>
            )}
          </>
        )}
      </Loaded>
    </div>
  )
}

function ReasonTable({ hour, today }: { readonly hour: Figures; readonly today: Figures }) {
  const reasons = [...new Set([...Object.keys(hour.end_reasons), ...Object.keys(today.end_reasons)])].toSorted(
    (a, b) => (today.end_reasons[b] ?? 0) - (today.end_reasons[a] ?? 0),
  )
  return (
    <table class="reasons">
      <caption>CDRs by end reason</caption>
      <thead>
        <tr>
          <th>End reason</th>
          <th class="number">Since {formatTime(hour.since)}</th>
          <th class="number">Today</th>
        </tr>
      </thead>
      <tbody>
        {reasons.map((reason) => (
          <tr key={reason}>
            <td>{reason}</td>
            <td class="number">{formatCount(hour.end_reasons[reason] ?? 0)}</td>
            <td class="number">{formatCount(today.end_reasons[reason] ?? 0)}</td>
          </tr>
        ))}
        {reasons.length === 0 && (
          <tr>
            <td colSpan={3}>No CDR today.</td>
          </tr>
        )}
      </tbody>
    </table>
  )
}

const HOUR_MS = 3_600_000

/** Converts counts to a series per end reason. Hours without a CDR get the value 0. */
function byHour({ counts }: CampaignDetail): ChartData {
  const hours = counts.map(({ hour }) => Date.parse(hour))
  const totals = new Map<string, number>()
  const found = new Map<string, number>()
  for (const { hour, end_reason: reason, count } of counts) {
    totals.set(reason, (totals.get(reason) ?? 0) + count)
    found.set(`${Date.parse(hour)} ${reason}`, count)
  }
  const reasons = [...totals].toSorted(([, a], [, b]) => b - a).map(([reason]) => reason)
  const times: number[] = []
  if (hours.length > 0) for (let at = Math.min(...hours); at <= Math.max(...hours); at += HOUR_MS) times.push(at)
  return {
    timesMs: times,
    series: reasons.map((label) => ({ label, values: times.map((at) => found.get(`${at} ${label}`) ?? 0) })),
  }
}

/** Splits counters into charts: counters of calls and of contacts have different scales. */
function toCharts({ series }: Stats): readonly { readonly name: string; readonly data: ChartData }[] {
  const names = [...new Set(series.flatMap(({ values }) => Object.keys(values)))]
  const ofContacts = names.filter((name) => name.startsWith('callees_'))
  const ofCalls = names.filter((name) => !name.startsWith('callees_'))
  const timesMs: number[] = []
  const points: (Readonly<Record<string, number>> | undefined)[] = []
  for (const { at, values, reset } of series) {
    const ms = Date.parse(at)
    // A reset interrupts the line, because a fall to 0 would look as if calls had been removed.
    if (reset && timesMs.length > 0) {
      timesMs.push(ms - 1)
      points.push(undefined)
    }
    timesMs.push(ms)
    points.push(values)
  }
  return [
    { name: 'calls', of: ofCalls },
    { name: 'contacts', of: ofContacts },
  ]
    .filter(({ of }) => of.length > 0)
    .map(({ name, of }) => ({
      name,
      data: { timesMs, series: of.map((label) => ({ label, values: points.map((own) => own?.[label] ?? null) })) },
    }))
}
