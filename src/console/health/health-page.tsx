import { useSignal } from '@preact/signals'
import type {
  AuditRecord,
  GapRecord,
  MissingCdr,
  OtherPage,
  OtherRecord,
  ParkedGroups,
  QueueRecord,
  Queues,
  RelayRecord,
} from '../../client/index.ts'
import { now } from '../clock.ts'
import { formatCount, formatCountOrNone, formatSpan, formatTime } from '../format.ts'
import { addressOf } from '../location.tsx'
import { Empty, Loaded, Problem, useResource } from '../resource.tsx'
import type { Session } from '../session.ts'
import { DiagnosisDialog, formatDiagnosis } from './diagnosis.tsx'
import { type Heading, NewestTable, Table, useNewest } from './newest-table.tsx'

/** A relay reports once a minute. After five minutes without a report, the stack raises an alarm. */
const LATE_MS = 150_000
const SILENT_MS = 300_000

function Readiness({ since }: { readonly since: string }) {
  const ms = now.value - Date.parse(since)
  const [className, text] =
    ms > SILENT_MS ? ['bad', '✕ silent'] : ms > LATE_MS ? ['warn', '! late'] : ['good', '✓ ready']
  return (
    <>
      <span class={`tag ${className}`}>{text}</span> {formatSpan(ms)} ago
    </>
  )
}

const RELAYS: readonly Heading<RelayRecord>[] = [
  { title: 'Relay', cell: ({ relay }) => relay },
  { title: 'Last ready', cell: ({ ready_at }) => <Readiness since={ready_at} /> },
  { title: 'Sources', cell: ({ sources }) => sources.join(', ') },
  { title: 'Running for', cell: ({ started_at }) => formatSpan(now.value - Date.parse(started_at)) },
]

const GAPS: readonly Heading<GapRecord>[] = [
  { title: 'From', cell: ({ from }) => formatTime(from) },
  { title: 'Length', cell: ({ from, to }) => formatSpan(Date.parse(to) - Date.parse(from)), isNumber: true },
  { title: 'Cause', cell: ({ cause }) => cause },
  { title: 'Source', cell: ({ source }) => source },
  { title: 'Relay', cell: ({ relay }) => relay },
  { title: 'Discarded', cell: ({ lost }) => formatCountOrNone(lost), isNumber: true },
]

const MISSING: readonly Heading<MissingCdr>[] = [
  { title: 'Handed over', cell: ({ handed_at }) => formatTime(handed_at) },
  { title: 'Ended', cell: ({ left_at }) => (left_at === null ? '–' : formatTime(left_at)) },
  { title: 'Call', cell: ({ call_ref }) => call_ref },
  { title: 'Agent', cell: ({ agent }) => agent },
  { title: 'Campaign', cell: ({ campaign_ref }) => campaign_ref ?? '–' },
  { title: 'Source', cell: ({ source }) => source },
]

const OTHER: readonly Heading<OtherRecord>[] = [
  { title: 'Received', cell: ({ received_at }) => formatTime(received_at) },
  { title: 'Type', cell: ({ type }) => type },
  { title: 'Reason', cell: ({ reason }) => reason ?? '–' },
  { title: 'Source', cell: ({ source }) => source },
  { title: 'Channel', cell: ({ channel }) => channel },
]

const AUDIT: readonly Heading<AuditRecord>[] = [
  { title: 'When', cell: ({ at }) => formatTime(at) },
  { title: 'Who', cell: ({ operator }) => operator },
  { title: 'Action', cell: ({ action }) => action },
  { title: 'Entries', cell: ({ count }) => formatCountOrNone(count), isNumber: true },
  { title: 'What', cell: ({ what }) => <span class="what">{what}</span> },
]

const Counts = ({ counts }: Pick<OtherPage, 'counts'>) => (
  <p>
    {Object.entries(counts)
      .map(([type, count]) => `${type}: ${formatCount(count)}`)
      .join(' · ')}
  </p>
)

export function Health({ session: { client, config } }: { readonly session: Session }) {
  const relays = useResource((signal) => client.relays({ signal }), [], { pollMs: 20_000 })
  const queues = useResource((signal) => client.queues({ signal }), [], { pollMs: 30_000 })
  const parked = useResource((signal) => client.parkedGroups({ signal }), [], {
    refreshOn: ({ type }) => type.startsWith('parked'),
    minIntervalMs: 5_000,
    pollMs: 60_000,
  })
  const gaps = useNewest(client.gaps, { refreshOn: ({ type }) => type === 'relay/gap' })
  const missing = useNewest(client.missing, { refreshOn: ({ type }) => type === 'missing', pollMs: 60_000 })
  const other = useNewest(client.other, { pollMs: 30_000 })
  const audit = useNewest(client.audit, { pollMs: 10_000 })
  const diagnosis = useSignal<string | undefined>(undefined)
  const diagnose = async () => {
    const document = await client.openApi().catch(() => undefined)
    const { version } = (document?.['info'] ?? {}) as { readonly version?: string }
    diagnosis.value = formatDiagnosis({
      nowMs: now.peek(),
      apiVersion: version,
      browser: navigator.userAgent,
      config,
      relays: relays.data.peek(),
      queues: queues.data.peek(),
      parked: parked.data.peek(),
      gaps: gaps.resource.data.peek(),
      other: other.resource.data.peek(),
      audit: audit.resource.data.peek(),
    })
  }
  const { value: fault } = queues.problem
  return (
    <>
      <div class="actions">
        <button onClick={() => void diagnose()}>Copy a diagnosis</button>
        <span class="hint">Plain text for a ticket, without personal data.</span>
      </div>
      <section class="box stack" aria-label="Relays">
        <h2>Relays</h2>
        <Loaded resource={relays}>
          {({ items }) =>
            items.length === 0 ? (
              <Empty title="No relay was ready in the last 30 days">
                A relay reports once a minute through its target. If one is running, check its log and run enigma-relay
                doctor.
              </Empty>
            ) : (
              <Table title="Relays" headings={RELAYS} items={items} />
            )
          }
        </Loaded>
      </section>
      <section class="box stack" aria-label="Queues">
        <h2>Queues</h2>
        {fault !== undefined &&
          (fault.code === 'not-found' ? (
            <p class="muted">{fault.detail}</p>
          ) : (
            fault.code !== 'network' && <Problem problem={fault} onRetry={queues.refresh} />
          ))}
        <Loaded resource={parked}>{(groups) => <QueuesTable queues={queues.data.value} parked={groups} />}</Loaded>
      </section>
      <NewestTable title="Gaps" list={gaps} headings={GAPS}>
        No gap in the last 30 days: every relay received everything that the dialler published. A gap appears when a
        relay starts, reconnects or has to discard notifications.
      </NewestTable>
      <NewestTable title="Missing CDRs" list={missing} headings={MISSING}>
        No CDR is missing: every call that an agent has left has its CDR, or its CDR is not due yet. Only calls of
        sources whose CDR list a relay consumes are checked.
      </NewestTable>
      <NewestTable title="Notifications without a route" list={other} headings={OTHER} extra={Counts}>
        None in the last seven days: every notification had a route. Packets of unknown types and unreadable packets
        appear here.
      </NewestTable>
      <NewestTable title="Audit log" list={audit} headings={AUDIT}>
        Nobody has replayed, deleted, restored, drained or revealed anything in the last 90 days.
      </NewestTable>
      {diagnosis.value !== undefined && (
        <DiagnosisDialog text={diagnosis.value} onClose={() => void (diagnosis.value = undefined)} />
      )}
    </>
  )
}

type Row = {
  readonly route: string
  readonly queue: QueueRecord | undefined
  readonly dead: QueueRecord | undefined
  readonly parked: ParkedGroups['queues'][number] | undefined
}

/** Joins both answers to a row per route, in the order of the API. */
function toRows(queues: readonly QueueRecord[], parked: ParkedGroups['queues']): Row[] {
  const routes = new Set([...queues.map(({ route }) => route), ...parked.map(({ route }) => route)])
  return [...routes].map((route) => ({
    route,
    queue: queues.find((one) => one.route === route && !one.dead_letter),
    dead: queues.find((one) => one.route === route && one.dead_letter),
    parked: parked.find((one) => one.route === route),
  }))
}

/** Shows each route with its queue, its dead-letter queue and its parked messages. */
function QueuesTable({
  queues,
  parked,
}: {
  readonly queues: Queues | undefined
  readonly parked: ParkedGroups | undefined
}) {
  const rows = toRows(queues?.items ?? [], parked?.queues ?? [])
  const noneParked = parked === undefined ? '–' : '0'
  if (rows.length === 0) return <p class="muted">No queue is known, and no message is parked.</p>
  return (
    <>
      <Table
        title="Routes"
        items={rows}
        headings={[
          { title: 'Route', cell: ({ route }) => route, isRowHeading: true },
          { title: 'Waiting', cell: ({ queue }) => <Depth of={queue} />, isNumber: true },
          { title: 'In flight', cell: ({ queue }) => formatCountOrNone(queue?.in_flight), isNumber: true },
          { title: 'Dead letters', cell: ({ dead }) => <Depth of={dead} isBad />, isNumber: true },
          {
            title: 'Parked',
            cell: ({ route, parked: own }) =>
              own === undefined ? noneParked : <a href={addressOf('parked', { route })}>{formatCount(own.count)}</a>,
            isNumber: true,
          },
          {
            title: 'Oldest parked',
            cell: ({ parked: own }) => (own === undefined ? '–' : formatSpan(now.value - Date.parse(own.oldest))),
            isNumber: true,
          },
          {
            title: 'Next expiry',
            cell: ({ parked: own }) =>
              own === undefined ? '–' : `in ${formatSpan(Date.parse(own.next_expiry) - now.value)}`,
            isNumber: true,
          },
        ]}
      />
      <p class="hint">
        {queues !== undefined && `SQS reported these approximate figures at ${formatTime(queues.read_at)}. `}
        The CloudWatch metric ApproximateAgeOfOldestMessage shows the age of a queue's oldest message. Dead letters are
        messages in the dead-letter queue. They are parked every five minutes, or when you press "Fetch dead letters" on
        the page Parked.
      </p>
    </>
  )
}

function Depth({ of, isBad = false }: { readonly of: QueueRecord | undefined; readonly isBad?: boolean }) {
  if (of === undefined) return <>–</>
  if (of.waiting === null) return <span class="tag bad">no queue</span>
  const text = formatCount(of.waiting)
  return isBad && of.waiting > 0 ? <span class="tag bad">! {text}</span> : <>{text}</>
}
