import type { ParkedGroups, QueueRecord, Queues } from '../../client/index.ts'
import { now } from '../clock.ts'
import { formatCount, formatSpan, formatTime } from '../format.ts'
import { addressOf } from '../location.tsx'

type Row = {
  readonly route: string
  readonly queue: QueueRecord | undefined
  readonly dead: QueueRecord | undefined
  readonly parked: ParkedGroups['queues'][number] | undefined
}

/** What both answers say of a route, in the order of the API. */
function toRows(queues: readonly QueueRecord[], parked: ParkedGroups['queues']): Row[] {
  const routes = new Set([...queues.map(({ route }) => route), ...parked.map(({ route }) => route)])
  return [...routes].map((route) => ({
    route,
    queue: queues.find((one) => one.route === route && !one.dead_letter),
    dead: queues.find((one) => one.route === route && one.dead_letter),
    parked: parked.find((one) => one.route === route),
  }))
}

const formatCountOrNone = (count: number | null | undefined): string =>
  count === null || count === undefined ? '–' : formatCount(count)

/** Each route with its queue, its dead-letter queue, and what is parked of it. */
export function QueuesTable({
  queues,
  parked,
}: {
  readonly queues: Queues | undefined
  readonly parked: ParkedGroups | undefined
}) {
  const rows = toRows(queues?.items ?? [], parked?.queues ?? [])
  if (rows.length === 0) return <p class="muted">No queue is known, and nothing is parked.</p>
  return (
    <>
      <div class="scroll" tabIndex={0} role="region" aria-label="Routes">
        <table>
          <thead>
            <tr>
              <th>Route</th>
              <th class="number">Waiting</th>
              <th class="number">In flight</th>
              <th class="number">Dead letters</th>
              <th class="number">Parked</th>
              <th class="number">Oldest parked</th>
              <th class="number">Next expiry</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(({ route, queue, dead, parked: own }) => (
              <tr key={route}>
                <th scope="row">{route}</th>
                <td class="number">
                  <Depth of={queue} />
                </td>
                <td class="number">{formatCountOrNone(queue?.in_flight)}</td>
                <td class="number">
                  <Depth of={dead} isBad />
                </td>
                <td class="number">
                  {own === undefined ? (
                    parked === undefined ? (
                      '–'
                    ) : (
                      '0'
                    )
                  ) : (
                    <a href={addressOf('parked', { route })}>{formatCount(own.count)}</a>
                  )}
                </td>
                <td class="number">{own === undefined ? '–' : formatSpan(now.value - Date.parse(own.oldest))}</td>
                <td class="number">
                  {own === undefined ? '–' : `in ${formatSpan(Date.parse(own.next_expiry) - now.value)}`}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="hint">
        {queues !== undefined && `SQS approximates these figures; it was asked at ${formatTime(queues.read_at)}. `}
        The age of a queue's oldest message is the metric ApproximateAgeOfOldestMessage of CloudWatch. Dead letters are
        messages that SQS gave up. They are parked every five minutes, or when you press "Fetch dead letters" on the
        page Parked.
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
