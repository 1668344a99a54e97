import { useSignal } from '@preact/signals'
import { useEffect, useMemo } from 'preact/hooks'
import { allItems, type Replay, type ReplayDetail, type ReplayMessage } from '../../client/index.ts'
import { formatCount, formatNumberOf, formatTime } from '../format.ts'
import { useKeys } from '../focus.tsx'
import { addressOf, FilterBar, filters, go, setFilters } from '../location.tsx'
import { isParkedChange, type Selected } from '../parked/parked-messages.ts'
import { Empty, Loaded, usePages } from '../resource.tsx'
import { type Column, createSelection, Rows } from '../rows.tsx'
import { mayOperate, type Session } from '../session.ts'
import { showError, showStatus } from '../status-bar.tsx'
import { ReplayDialog } from './replay-dialogs.tsx'
import {
  describeReplay,
  type Outcome,
  OUTCOME_NAMES,
  OUTCOMES,
  Progress,
  ReplayList,
  RESTING_MS,
  RUNNING_MS,
  State,
} from './replay-list.tsx'

export function Replays({ session }: { readonly session: Session }) {
  const { id } = filters.value
  return id === undefined ? <ReplayList session={session} /> : <ReplayDetails key={id} session={session} id={id} />
}

/** A page of messages, with the state of the replay at that time. */
type Page = ReplayDetail['messages'] & { readonly replay: Replay }

/** Shows a replay, with the outcome of each of its messages. */
function ReplayDetails({ session, id }: { readonly session: Session; readonly id: string }) {
  const cursor = useMemo(createSelection, [])
  const isRunning = useSignal(true)
  const outcome = OUTCOME_NAMES.find((name) => name === filters.value['outcome'])
  const again = useSignal<Selected | undefined>(undefined)
  const list = usePages<ReplayMessage, Page>(
    async (query) => {
      const { messages, ...replay } = await session.client.replayDetail(id, { ...query, outcome })
      return { ...messages, replay }
    },
    [session, id, outcome, isRunning.value],
    { refreshOn: isParkedChange, minIntervalMs: RUNNING_MS, pollMs: isRunning.value ? RUNNING_MS : RESTING_MS },
  )
  const replay = list.first.value?.replay
  useEffect(() => {
    if (replay !== undefined) isRunning.value = replay.state === 'running'
  }, [replay])
  useKeys([{ key: 'Escape', does: 'back to all replays', run: () => go('replays') }])
  return (
    <>
      <p>
        <a href={addressOf('replays')}>← All replays</a>
      </p>
      <Loaded resource={list}>
        {({ items }) => (
          <>
            {replay !== undefined && (
              <Summary
                replay={replay}
                session={session}
                onChange={list.refresh}
                onAgain={(selected) => void (again.value = selected)}
              />
            )}
            <FilterBar
              fields={[
                {
                  name: 'outcome',
                  label: 'Outcome',
                  options: OUTCOME_NAMES.map((value) => ({ value, label: OUTCOMES[value].label })),
                },
              ]}
            />
            {items.length === 0 ? (
              <NoMessages replay={replay} outcome={outcome} />
            ) : (
              <Rows
                label="Messages of the replay"
                items={items}
                idOf={(message) => message.id}
                cursor={cursor}
                onEnd={list.more}
                onOpen={(message: ReplayMessage) => {
                  if (isListed(message, replay)) go('parked', { view: 'messages', id: message.id })
                }}
                columns={columnsOf(replay)}
              />
            )}
          </>
        )}
      </Loaded>
      {again.value !== undefined && (
        <ReplayDialog
          session={session}
          selected={again.value}
          onStart={() => {}}
          onClose={() => void (again.value = undefined)}
        />
      )}
    </>
  )
}

function Summary({
  replay,
  session,
  onChange,
  onAgain,
}: {
  readonly replay: Replay
  readonly session: Session
  readonly onChange: () => void
  readonly onAgain: (selected: Selected) => void
}) {
  const { id, counts, state, cdrs, relay } = replay
  const isBusy = useSignal(false)
  const run = (work: () => Promise<unknown>) => {
    isBusy.value = true
    work()
      .catch(showError)
      .finally(() => void (isBusy.value = false))
  }
  const stop = async () => {
    await session.client.stopReplay(id)
    showStatus('The replay was stopped. Messages that it had not sent stay parked.')
    onChange()
  }
  const replayAgain = async () => {
    const entries: { id: string; from: 'functions'; replay: null }[] = []
    const query = (page: Parameters<typeof session.client.replayDetail>[1]) =>
      session.client.replayDetail(id, { ...page, outcome: 'failed_again' }).then(({ messages }) => messages)
    for await (const message of allItems(query)) entries.push({ id: message.id, from: 'functions', replay: null })
    onAgain({ entries })
  }
  return (
    <section class="box stack">
      <div class="actions">
        <h2>{describeReplay(replay)}</h2>
        <State replay={replay} />
        <span class="grow" />
        {mayOperate.value && state === 'running' && (
          <button class="danger" disabled={isBusy.value} onClick={() => run(stop)}>
            Stop
          </button>
        )}
        {mayOperate.value && counts.failed_again > 0 && cdrs === null && (
          <button disabled={isBusy.value} onClick={() => run(replayAgain)}>
            Replay messages that failed again
          </button>
        )}
      </div>
      <p class="muted">
        Started {formatTime(replay.created_at)} by {replay.operator ?? 'an unknown operator'},{' '}
        {formatCount(replay.rate)} messages a second at most
      </p>
      <Progress replay={replay} />
      <dl class="counts">
        {OUTCOME_NAMES.map((name) => (
          <div key={name} title={OUTCOMES[name].means}>
            <dt>{OUTCOMES[name].label}</dt>
            <dd>{formatCount(counts[name])}</dd>
          </div>
        ))}
      </dl>
      {replay.waits_for === 'relay' && (
        <p class="hint">
          Waiting for a relay: it asks for these messages within seconds if ENIGMA_API_URL and ENIGMA_API_TOKEN are set
          on it.
        </p>
      )}
      {relay > 0 && (
        <p class="hint">
          The relay was asked to send {formatNumberOf(relay, 'message')} that it parked itself. Each leaves the page
          Parked when SQS has accepted it.
        </p>
      )}
      {cdrs !== null && counts.failed_again > 0 && (
        <p class="hint">
          CDRs that failed again are <a href={addressOf('parked', { view: 'messages', route: cdrs.route })}>parked</a>.
        </p>
      )}
    </section>
  )
}

/** Returns whether the message may still be on the page Parked. */
const isListed = ({ outcome }: ReplayMessage, replay: Replay | undefined): boolean =>
  outcome !== 'handled' && replay?.cdrs === null

const columnsOf = (replay: Replay | undefined): readonly Column<ReplayMessage>[] => [
  {
    title: 'Message',
    cell: (message) =>
      isListed(message, replay) ? (
        <a href={addressOf('parked', { view: 'messages', id: message.id })}>{message.id}</a>
      ) : (
        message.id
      ),
  },
  {
    title: 'Outcome',
    cell: ({ outcome }) => (
      <span class={`tag ${OUTCOMES[outcome].class}`} title={OUTCOMES[outcome].means}>
        {OUTCOMES[outcome].label}
      </span>
    ),
  },
  { title: 'Reason', cell: ({ reason }) => <span title={reason ?? ''}>{reason ?? '–'}</span> },
]

function NoMessages({
  replay,
  outcome,
}: {
  readonly replay: Replay | undefined
  readonly outcome: Outcome | undefined
}) {
  if (outcome !== undefined)
    return (
      <Empty title={`No message is ${OUTCOMES[outcome].label}`}>
        <button class="second" onClick={() => setFilters({ outcome: '' })}>
          Show all outcomes
        </button>
      </Empty>
    )
  if (replay?.state === 'running')
    return <Empty title="The replay is finding its messages">They appear here once the first step has run.</Empty>
  return (
    <Empty title="The replay has no messages">
      No message matched when the replay was started, or the relay sends the messages itself.
    </Empty>
  )
}
