import { useMemo } from 'preact/hooks'
import type { ParkedFilter, ParkedGroup, ParkedGroups, ParkedRecord } from '../../client/index.ts'
import { now } from '../clock.ts'
import { formatCount, formatNumberOf, formatSpan, formatTime } from '../format.ts'
import { useKeys } from '../focus.tsx'
import { addressOf, filters, go, setFilters } from '../location.tsx'
import { Empty, Loaded, usePages } from '../resource.tsx'
import { type Column, createSelection, Rows, type Selection } from '../rows.tsx'
import { mayOperate, type Session } from '../session.ts'
import { showStatus } from '../status-bar.tsx'
import { isFiltered, isParkedChange, type Selected } from './parked-messages.ts'

export type ParkedListProps = {
  readonly session: Session
  readonly filter: ParkedFilter
  readonly groups: ParkedGroups | undefined
  readonly selection: Selection
  readonly onAsk: (action: 'replay' | 'delete', selected: Selected) => void
}

/** Lists the messages that match, with the actions on selected ones. */
export function ParkedList({ session, filter, groups, selection, onAsk }: ParkedListProps) {
  const list = usePages<ParkedRecord, Awaited<ReturnType<typeof session.client.parked>>>(
    (query) => session.client.parked({ ...filter, ...query }),
    [session, JSON.stringify(filter)],
    { refreshOn: isParkedChange },
  )
  const ask = (action: 'replay' | 'delete') => {
    const { isAll, ids, at } = selection
    const items = list.data.peek()?.items ?? []
    const entries = items.filter(({ id }) => (ids.peek().size > 0 ? ids.peek().has(id) : id === at.peek())).toReversed()
    if (isAll.peek()) onAsk(action, { filter })
    else if (entries.length > 0) onAsk(action, { entries })
    else showStatus('Select messages first: with the check boxes, or with X.')
  }
  const operates = mayOperate.value
  return (
    <Loaded resource={list}>
      {({ items }) =>
        items.length === 0 ? (
          <NothingParked />
        ) : (
          <>
            {operates && <Actions groups={groups} items={items} selection={selection} onAsk={ask} />}
            <Rows
              label="Parked messages"
              items={items}
              idOf={({ id }) => id}
              selection={operates ? selection : undefined}
              cursor={selection}
              onOpen={({ id }: ParkedRecord) => setFilters({ id })}
              onEnd={list.more}
              columns={COLUMNS}
            />
          </>
        )
      }
    </Loaded>
  )
}

function Actions({
  groups,
  items,
  selection,
  onAsk,
}: {
  readonly groups: ParkedGroups | undefined
  readonly items: readonly ParkedRecord[]
  readonly selection: Selection
  readonly onAsk: (action: 'replay' | 'delete') => void
}) {
  const matching = Math.max(groups?.matching ?? 0, items.length)
  const all = `${formatCount(matching)}${groups?.complete === false ? '+' : ''}`
  const isAll = selection.isAll.value
  // Messages that have left the list are no longer selected.
  const count = items.filter(({ id }) => selection.ids.value.has(id)).length
  useKeys(
    [
      { key: 'r', does: 'replay the selected messages', run: () => onAsk('replay') },
      { key: 'd', does: 'delete the selected messages', run: () => onAsk('delete') },
      { key: 'a', does: 'select all messages that match', run: () => selection.selectAll() },
      { key: 'Escape', does: 'clear the selection', run: () => selection.clear() },
    ],
    [onAsk],
  )
  return (
    <div class="actions">
      <button onClick={() => onAsk('replay')} disabled={!isAll && count === 0}>
        Replay
      </button>
      <button class="danger" onClick={() => onAsk('delete')} disabled={!isAll && count === 0}>
        Delete
      </button>
      <span role="status">
        {isAll
          ? `All ${all} that match are selected`
          : count === 0
            ? 'None selected'
            : `${formatCount(count)} selected`}
      </span>
      {!isAll && (
        <button class="second" onClick={() => selection.selectAll()}>
          Select all {all} that match
        </button>
      )}
      {(isAll || count > 0) && (
        <button class="quiet" onClick={() => selection.clear()}>
          Clear selection
        </button>
      )}
    </div>
  )
}

const COLUMNS: readonly Column<ParkedRecord>[] = [
  { title: 'Parked', cell: ({ parked_at: at }) => formatTime(at) },
  {
    title: 'Route',
    cell: ({ route, from }) => (
      <>
        {route} {from === 'relay' && <RelayTag />}
      </>
    ),
  },
  { title: 'Reference', cell: ({ subject }) => subject ?? '–' },
  { title: 'Status', isNumber: true, cell: ({ status }) => status ?? '–' },
  { title: 'Reason', cell: ({ reason }) => <span title={reason}>{reason}</span> },
  { title: 'Replays', cell: ({ replay, replays }) => <Replays running={replay} failed={replays} /> },
  { title: 'Expires in', cell: ({ expires_at: at }) => <TimeLeft until={at} /> },
]

/** Shows whether a replay is sending the message, and how often a replay of it has failed. */
function Replays({ running, failed }: { readonly running: string | null; readonly failed: number }) {
  if (running !== null)
    return (
      <a class="tag" href={addressOf('replays', { id: running })}>
        replaying
      </a>
    )
  return failed === 0 ? '–' : <span class="tag bad">failed {formatNumberOf(failed, 'time')}</span>
}

/** Explains why the page is empty. */
export function NothingParked() {
  if (isFiltered(filters.value))
    return <Empty title="No parked message matches the filters">Clear a filter to see more.</Empty>
  return (
    <Empty title="Nothing is parked">
      A message is parked when its function rejects it, when all of its deliveries have failed, or when the relay cannot
      send it. Messages in dead-letter queues appear within five minutes.
    </Empty>
  )
}

type Queue = ParkedGroups['queues'][number]

/** Opens the list of messages with further filters. */
const showMessages = (more: Readonly<Record<string, string>>): void =>
  go('parked', { ...filters.value, id: '', view: 'messages', ...more })

/** Lists parked messages by cause. */
export function ParkedCauses({ groups }: Pick<ParkedGroups, 'groups'>) {
  const cursor = useMemo(createSelection, [])
  return (
    <Rows
      label="Causes"
      items={groups}
      idOf={({ from, route, status, cause }) => `${from} ${route} ${status} ${cause}`}
      cursor={cursor}
      onOpen={({ from, route, status, cause }: ParkedGroup) =>
        showMessages({ from, route, cause, status: String(status ?? '') })
      }
      columns={[
        { title: 'Messages', isNumber: true, cell: ({ count }) => formatCount(count) },
        { title: 'Cause', cell: ({ cause }) => <span title={cause}>{cause}</span> },
        {
          title: 'Route',
          cell: ({ route, from }) => (
            <>
              {route} {from === 'relay' && <RelayTag />}
            </>
          ),
        },
        { title: 'Status', isNumber: true, cell: ({ status }) => status ?? '–' },
        { title: 'First', cell: ({ first }) => formatTime(first) },
        { title: 'Last', cell: ({ last }) => formatTime(last) },
      ]}
    />
  )
}

/** Lists the number of parked messages per queue, and when the next one expires. */
export function ParkedQueues({ queues }: Pick<ParkedGroups, 'queues'>) {
  const cursor = useMemo(createSelection, [])
  return (
    <Rows
      label="Queues"
      items={queues}
      idOf={({ route }) => route}
      cursor={cursor}
      onOpen={({ route }: Queue) => showMessages({ route })}
      columns={[
        { title: 'Queue', cell: ({ route }) => route },
        { title: 'Messages', isNumber: true, cell: ({ count }) => formatCount(count) },
        { title: 'Oldest', cell: ({ oldest }) => formatTime(oldest) },
        { title: 'Next expiry in', cell: ({ next_expiry: at }) => <TimeLeft until={at} /> },
      ]}
    />
  )
}

/** Marks a message that a relay keeps. */
export const RelayTag = () => (
  <span class="tag" title="Parked by a relay, which keeps the message and sends it again itself">
    relay
  </span>
)

/** Shows the time until a message expires. Less than three days are highlighted. */
export function TimeLeft({ until }: { readonly until: string }) {
  const ms = Date.parse(until) - now.value
  return (
    <span class={ms < 3 * 86_400_000 ? 'warn' : ''} title={formatTime(until)}>
      {formatSpan(ms)}
    </span>
  )
}
