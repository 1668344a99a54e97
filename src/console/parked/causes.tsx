import { useMemo } from 'preact/hooks'
import type { ParkedGroup, ParkedGroups } from '../../client/index.ts'
import { now } from '../clock.ts'
import { formatCount, formatSpan, formatTime } from '../format.ts'
import { filters, go } from '../location.tsx'
import { createSelection, Rows } from '../rows.tsx'

type Queue = ParkedGroups['queues'][number]

/** Shows the messages that match, in addition to the filters that are set. */
const showMessages = (more: Readonly<Record<string, string>>): void =>
  go('parked', { ...filters.value, id: '', view: 'messages', ...more })

/** Parked messages by what went wrong. */
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

/** How much is parked of each queue, and for how long still. */
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
        { title: 'Next one is removed in', cell: ({ next_expiry: at }) => <Left until={at} /> },
      ]}
    />
  )
}

/** Put on what the relay keeps. */
export const RelayTag = () => (
  <span class="tag" title="Parked by the relay, which keeps it and sends it again itself">
    relay
  </span>
)

/** How long is left, in another colour where it is little. */
export function Left({ until }: { readonly until: string }) {
  const ms = Date.parse(until) - now.value
  return (
    <span class={ms < 3 * 86_400_000 ? 'warn' : ''} title={formatTime(until)}>
      {formatSpan(ms)}
    </span>
  )
}
