import type { ComponentChildren } from 'preact'
import { useEffect, useMemo } from 'preact/hooks'
import { useComputed, useSignal } from '@preact/signals'
import type { Change, GapRecord } from '../../client/index.ts'
import { now } from '../clock.ts'
import { useKeys } from '../focus.tsx'
import { formatCount, formatSpan, formatTime } from '../format.ts'
import { addressOf, FilterBar, type Filters, filters, go, type PageName, setFilters } from '../location.tsx'
import { Empty, Problem, useResource } from '../resource.tsx'
import { type Column, createSelection, Rows } from '../rows.tsx'
import { type Missed, missed, onChanges, recentChanges, type Session } from '../session.ts'

/* The entries of the stream: changes, and bars for gaps and missed changes. */

type Entry =
  | { readonly kind: 'change'; readonly id: string; readonly at: string; readonly change: Change }
  | {
      readonly kind: 'gap'
      readonly id: string
      readonly at: string
      readonly cause: string | null
      readonly source: string | null
      /** Undefined until the gap has been read from the API. */
      readonly gap: GapRecord | undefined
    }
  | { readonly kind: 'missed'; readonly id: string; readonly at: string; readonly missed: Missed }

/** Changes that the stream keeps. */
const MAX_CHANGES = 2_000

const matches = (change: Change, { type, reference, campaign }: Filters): boolean =>
  (type === undefined || change.type === type || change.type.startsWith(`${type}/`)) &&
  (reference === undefined || change.ref === reference) &&
  (campaign === undefined || change.campaign_ref === campaign || (isOfCampaign(change) && change.ref === campaign))

const isOfCampaign = ({ type }: Change): boolean => type.startsWith('campaigns/')

/** Keeps the latest changes that match the filters, so that frequent changes do not displace rare ones that the user filters for. */
function createBuffer() {
  let last = 0
  let kept: readonly Entry[] = []
  return {
    /** Returns the changes, newest first. */
    entries: () => kept,
    /** Adds changes, given oldest first. Returns how many of them match. */
    add: (changes: readonly Change[], wanted: Filters): number => {
      const more = changes
        .filter((change) => change.type !== 'relay/gap' && matches(change, wanted))
        .map((change): Entry => ({ kind: 'change', id: String(++last), at: change.at, change }))
      if (more.length > 0) kept = [...more.toReversed(), ...kept].slice(0, MAX_CHANGES)
      return more.length
    },
    clear: () => void (kept = []),
  }
}

/** Converts gaps to bars: those that the API has listed, and those that are known only from a change so far. */
function toGapBars(gaps: readonly GapRecord[], heard: readonly Change[]): readonly Entry[] {
  const listed = new Set(gaps.map((gap) => gap.notification_id))
  return [
    ...gaps.map((gap): Entry => {
      const { notification_id: id, to: at, cause, source } = gap
      return { kind: 'gap', id: `gap ${id}`, at, cause, source, gap }
    }),
    ...heard
      .filter(({ notification_id: id }) => id !== null && !listed.has(id))
      .map(({ notification_id: id, at, state, source, ref }): Entry => ({
        kind: 'gap',
        id: `gap ${id}`,
        at,
        cause: state,
        source: source ?? ref,
        gap: undefined,
      })),
  ]
}

const toMissedBars = (spans: readonly Missed[]): readonly Entry[] =>
  spans.map((one) => ({ kind: 'missed', id: `missed ${one.from} ${one.to}`, at: one.to, missed: one }))

/** Inserts bars at their time. Both are given newest first. The order of changes is kept, because it is the order of commits. */
function merge(changes: readonly Entry[], bars: readonly Entry[]): readonly Entry[] {
  if (bars.length === 0) return changes
  const merged: Entry[] = []
  const waiting = bars.toSorted((a, b) => (a.at < b.at ? 1 : -1))
  for (const change of changes) {
    while (waiting[0] !== undefined && waiting[0].at >= change.at) merged.push(...waiting.splice(0, 1))
    merged.push(change)
  }
  return [...merged, ...waiting]
}

/** Returns the page that shows the subject of a change, or undefined if there is none. */
function destinationOf({
  type,
  ref,
  campaign_ref: campaign,
  state,
}: Change): { readonly page: PageName; readonly filters: Filters; readonly what: string } | undefined {
  if (type === 'campaigns/cdr')
    return {
      page: 'cdrs',
      filters: { campaign: campaign ?? ref, end_reason: state ?? '' },
      what: 'CDRs of the campaign',
    }
  if (type === 'parked' || type === 'relay/parked')
    return { page: 'parked', filters: { id: ref }, what: 'parked entry' }
  if (type.startsWith('relay/') || type.startsWith('dialers/')) return { page: 'health', filters: {}, what: 'Health' }
  if (ref === '') return undefined
  if (type.startsWith('agents/') || type === 'inbound/call')
    return { page: 'wall', filters: { open: ref }, what: 'agent' }
  if (type.startsWith('campaigns/')) return { page: 'wall', filters: { campaign: ref }, what: 'campaign' }
  return undefined
}

/** How far back (ms) gaps from before the page was opened are shown. */
const GAPS_MS = 3_600_000
const MAX_GAPS = 200

const TYPES = [
  'agents',
  'agents/status',
  'agents/call',
  'agents/stats',
  'inbound/call',
  'campaigns',
  'campaigns/cdr',
  'campaigns/status',
  'campaigns/stats',
  'campaigns/dial_preview',
  'dialers/status',
  'parked',
  'relay',
  'relay/parked',
  'relay/alive',
  'other',
]

type Held = { readonly entries: readonly Entry[]; readonly sinceMs: number; readonly isByScroll: boolean }

/** Shows changes as they happen. */
export function Stream({ session }: { readonly session: Session }) {
  const buffer = useMemo(createBuffer, [])
  const cursor = useMemo(createSelection, [])
  const changes = useSignal<readonly Entry[]>([])
  const gapChanges = useSignal<readonly Change[]>([])
  const kinds = useSignal<readonly string[]>(TYPES)
  const held = useSignal<Held | undefined>(undefined)
  const news = useSignal(0)
  const openedMs = useMemo(() => now.peek(), [])

  const { type, reference, campaign } = filters.value
  useEffect(() => {
    const take = (all: readonly Change[]) => {
      const count = buffer.add(all, filters.peek())
      if (held.peek() !== undefined) news.value += count
      changes.value = buffer.entries()
      const gaps = all.filter((change) => change.type === 'relay/gap')
      if (gaps.length > 0) gapChanges.value = [...gapChanges.peek(), ...gaps].slice(-MAX_GAPS)
      const unknown = all.find((change) => !kinds.peek().includes(change.type))
      if (unknown !== undefined) kinds.value = [...new Set([...kinds.peek(), ...all.map((change) => change.type)])]
    }
    buffer.clear()
    held.value = undefined
    gapChanges.value = []
    take(recentChanges())
    return onChanges((more) => take(more.changes))
  }, [type, reference, campaign])
  const gaps = useResource(
    (signal) => session.client.gaps({ since: new Date(openedMs - GAPS_MS), limit: MAX_GAPS, signal }),
    [session],
    { refreshOn: (change) => change.type === 'relay/gap' },
  )

  const live = useComputed(() =>
    merge(changes.value, [...toGapBars(gaps.data.value?.items ?? [], gapChanges.value), ...toMissedBars(missed.value)]),
  )
  const hold = (isByScroll: boolean) => {
    held.value = { entries: live.peek(), sinceMs: now.peek(), isByScroll }
    news.value = 0
  }
  const resume = () => {
    held.value = undefined
    news.value = 0
    document.querySelector('.page-stream .rows')?.scrollTo({ top: 0 })
  }
  const toggle = () => (held.peek() === undefined ? hold(false) : resume())
  useKeys([{ key: 'p', does: 'pause or resume the stream', run: toggle }])

  const shown = held.value?.entries ?? live.value
  return (
    <>
      <div class="wall-bar">
        <FilterBar
          fields={[
            {
              name: 'type',
              label: 'Type',
              options: [...new Set([...kinds.value, ...(type === undefined ? [] : [type])])].map((value) => ({
                value,
                label: value,
              })),
            },
            { name: 'reference', label: 'Reference', placeholder: 'agent, campaign, entry' },
            { name: 'campaign', label: 'Campaign' },
          ]}
        />
        <div class="actions">
          <PauseControl held={held.value} news={news.value} onToggle={toggle} />
        </div>
      </div>
      {gaps.problem.value !== undefined && gaps.problem.value.code !== 'network' && (
        <Problem problem={gaps.problem.value} onRetry={gaps.refresh} />
      )}
      {shown.length === 0 ? (
        <NoChanges isFiltered={(type ?? reference ?? campaign) !== undefined} />
      ) : (
        <Rows
          label="Changes, newest first"
          items={shown}
          idOf={({ id }) => id}
          columns={COLUMNS}
          cursor={cursor}
          bar={toBar}
          rowClass={({ kind }) => (kind === 'change' ? '' : `stream-bar ${kind}`)}
          onOpen={open}
          onTop={(isAtTop) => {
            if (!isAtTop && held.peek() === undefined) hold(true)
            else if (isAtTop && held.peek()?.isByScroll === true) resume()
          }}
        />
      )}
    </>
  )
}

function open(entry: Entry): void {
  const to = entry.kind === 'change' ? destinationOf(entry.change) : undefined
  if (to !== undefined) go(to.page, to.filters)
}

const change =
  (show: (change: Change) => ComponentChildren): Column<Entry>['cell'] =>
  (entry) =>
    entry.kind === 'change' ? show(entry.change) : null

const COLUMNS: readonly Column<Entry>[] = [
  { title: 'Time', cell: change(({ at }) => <time dateTime={at}>{formatTime(at)}</time>) },
  { title: 'Type', cell: change(({ type }) => type) },
  {
    title: 'Reference',
    cell: change((own) => {
      const to = destinationOf(own)
      return to === undefined ? own.ref : <a href={addressOf(to.page, to.filters)}>{own.ref || to.what}</a>
    }),
  },
  { title: 'Campaign', cell: change(({ campaign_ref: campaign }) => campaign ?? '') },
  { title: 'State', cell: change(({ state }) => state ?? '') },
  { title: 'Source', cell: change(({ source }) => source ?? '') },
  { title: 'Transport', cell: change(({ transport }) => transport ?? '') },
]

/** Shows gaps and missed changes as bars at their time. */
const toBar = (entry: Entry) =>
  entry.kind === 'change' ? undefined : (
    <span class="bar-text">
      <span aria-hidden="true">▨ </span>
      {describeBar(entry)}
    </span>
  )

function describeBar(entry: Exclude<Entry, { kind: 'change' }>): string {
  if (entry.kind === 'missed') {
    const { from, to } = entry.missed
    return `${formatTime(from)} – ${formatTime(to)}: changes of ${formatSpan(Date.parse(to) - Date.parse(from))} were missed, because the console was not connected. All pages show the current state.`
  }
  const { gap, cause, source } = entry
  if (gap === undefined) return `${formatTime(entry.at)}: gap of source ${source ?? 'unknown'} (${cause ?? 'unknown'})`
  const lost = gap.lost === null ? '' : `, ${formatCount(gap.lost)} notifications discarded`
  return `${formatTime(gap.from)} – ${formatTime(gap.to)}: gap of ${formatSpan(Date.parse(gap.to) - Date.parse(gap.from))} (${gap.cause}${lost}). Relay ${gap.relay} did not hear Pub/Sub of ${gap.source}. States from before the gap are unsure.`
}

function PauseControl({
  held,
  news,
  onToggle,
}: {
  readonly held: Held | undefined
  readonly news: number
  readonly onToggle: () => void
}) {
  if (held === undefined)
    return (
      <button class="second" onClick={onToggle} aria-keyshortcuts="p">
        Pause
      </button>
    )
  return (
    <>
      <span role="status" class="tag warn">
        Paused since {formatTime(new Date(held.sinceMs).toISOString())}
      </span>
      <button onClick={onToggle} aria-keyshortcuts="p">
        {news === 0 ? 'Resume' : `${formatCount(news)} new`}
      </button>
    </>
  )
}

function NoChanges({ isFiltered }: { readonly isFiltered: boolean }) {
  return isFiltered ? (
    <Empty title="No change matches the filters yet">
      Changes appear here as they happen. Changes from before you opened the page are not listed.{' '}
      <button class="second" onClick={() => setFilters({ type: '', reference: '', campaign: '' })}>
        Show all changes
      </button>
    </Empty>
  ) : (
    <Empty title="Nothing has changed since you logged in">
      Each status, call and CDR of the dialler appears here within a second or two, and so does each parked entry. If
      the dialler is running and nothing appears, check on the page Health that a relay is ready.
    </Empty>
  )
}
