import { type Signal, useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import type { CdrFilter, Replay, ReplayPlan, ReplayRequest } from '../../client/index.ts'
import { Dialog } from '../focus.tsx'
import { formatCount, formatNumberOf, formatSpan } from '../format.ts'
import { addressOf, go, page } from '../location.tsx'
import { countOf, findOldest, type SelectedDialogProps, startReplays, usePlan } from '../parked/parked-messages.ts'
import { Problem, useResource } from '../resource.tsx'
import type { Session } from '../session.ts'
import { runUnlessUndone, type Status } from '../status-bar.tsx'

const DEFAULT_RATE = 50
const MAX_RATE = 1_000

/** Asks before parked messages are replayed, and shows the result of a dry run. */
export function ReplayDialog({ session: { client }, selected, onStart, onClose }: SelectedDialogProps) {
  const { planned, problem } = usePlan(client, selected)
  const rate = useSignal(DEFAULT_RATE)
  const confirm = useRef<HTMLButtonElement>(null)
  useEffect(() => confirm.current?.focus(), [planned])
  if (planned === undefined)
    return (
      <Dialog title="Replay" onClose={onClose}>
        {problem === undefined ? <p aria-busy="true">Counting …</p> : <Problem problem={problem} />}
      </Dialog>
    )
  const { parts, sum } = planned
  const count = countOf(sum)
  if (count === 0)
    return (
      <Dialog title="There is nothing to replay" onClose={onClose}>
        <p>The messages are gone, or another replay is sending them.</p>
      </Dialog>
    )
  const replayAll = () => {
    onClose()
    runUnlessUndone(`Replaying ${formatNumberOf(count, 'message')}`, async () => {
      onStart()
      return toStatus(await startReplays(client, parts, rate.peek()))
    })
  }
  const replayOne = () => {
    onClose()
    runUnlessUndone('Replaying one message', async () => {
      const id = await findOldest(client, selected, parts)
      if (id === undefined) return 'None of the messages is parked any more.'
      const replay = await client.startReplay({ ids: [id] })
      // Do not interrupt a user who has opened another page.
      if (page.peek() === 'parked') go('replays', { id: replay.id })
      return toStatus([replay])
    })
  }
  return (
    <Dialog title={`Replay ${formatNumberOf(count, 'message')}?`} onClose={onClose}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault()
          replayAll()
        }}
      >
        <Figures sum={sum} jobs={parts.filter(({ from }) => from === 'functions').length} />
        {sum.total > 0 && <RateField label="Messages a second, at most" rate={rate} />}
        <div class="actions">
          <button ref={confirm}>Replay</button>
          {count > 1 && (
            <button type="button" class="second" onClick={replayOne}>
              Try one first
            </button>
          )}
          <button type="button" class="quiet" onClick={onClose}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  )
}

function Figures({ sum, jobs }: { readonly sum: ReplayPlan; readonly jobs: number }) {
  const routes = Object.entries(sum.routes)
  const are = (count: number, one: string, many: string) => `${formatCount(count)} ${count === 1 ? one : many}`
  const sentences = [
    sum.stale > 0 && `${are(sum.stale, 'is a call that is', 'are calls that are')} too old and will only be recorded.`,
    sum.outdated > 0 &&
      `${are(sum.outdated, 'is older than the current state and does not replace it', 'are older than the current state and do not replace it')}.`,
    sum.replayed_before > 0 &&
      `${are(sum.replayed_before, 'was replayed before and', 'were replayed before and')} failed again.`,
    sum.relay > 0 &&
      `${are(sum.relay, 'is an entry of the relay, which sends it itself', 'are entries of the relay, which sends them itself')}.`,
    sum.skipped > 0 &&
      `${formatCount(sum.skipped)} more will be skipped: they are gone, or another replay is sending them.`,
    !sum.complete && 'Only the newest 20,000 were counted. Older messages that match are sent too.',
    jobs > 1 && `This takes ${jobs} replays, which share the rate.`,
  ].filter((sentence) => typeof sentence === 'string')
  return (
    <>
      {sentences.length > 0 && (
        <ul class="figures">
          {sentences.map((sentence) => (
            <li key={sentence}>{sentence}</li>
          ))}
        </ul>
      )}
      {routes.length > 0 && (
        <table>
          <thead>
            <tr>
              <th>Queue</th>
              <th class="number">Messages</th>
            </tr>
          </thead>
          <tbody>
            {routes.map(([route, count]) => (
              <tr key={route}>
                <td>{route}</td>
                <td class="number">{formatCount(count)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  )
}

function RateField({ label, rate }: { readonly label: string; readonly rate: Signal<number> }) {
  return (
    <label>
      <span>{label}</span>
      <input
        type="number"
        required
        min={1}
        max={MAX_RATE}
        value={rate.value}
        onInput={({ currentTarget }) => {
          if (currentTarget.validity.valid) rate.value = currentTarget.valueAsNumber
        }}
      />
    </label>
  )
}

/** Reports that replays have started, with a link to them. */
function toStatus(replays: readonly Replay[]): Status {
  const [first] = replays
  if (replays.length === 1 && first !== undefined)
    return { text: 'The replay has started.', link: { href: addressOf('replays', { id: first.id }), label: 'Show it' } }
  return {
    text: `${replays.length} replays have started.`,
    link: { href: addressOf('replays'), label: 'Show them' },
  }
}

const ROUTE = 'campaigns-cdr'

/** Returns why CDRs cannot be replayed with these filters. */
function whyNotReplayable({ from, to }: CdrFilter, isPersonal: boolean): string | undefined {
  if (isPersonal)
    return 'A replay cannot select by number or contact, because its filter is stored and visible to every user. Remove these filters, and narrow the time span instead.'
  if (from === undefined && to === undefined)
    return 'Select a time span first: set "from", "to" or both. Otherwise, every CDR in the read model would be replayed.'
  return undefined
}

/** Asks before the CDRs that match are replayed through their function, and shows the result of a dry run. */
export function ReplayCdrsDialog({
  session: { client },
  filter,
  isPersonal,
  description,
  onClose,
}: {
  readonly session: Session
  readonly filter: CdrFilter
  /** Whether a filter by personal data is set, which a replay does not support. */
  readonly isPersonal: boolean
  /** The filters in words. */
  readonly description: string
  readonly onClose: () => void
}) {
  const fault = whyNotReplayable(filter, isPersonal)
  const rate = useSignal(DEFAULT_RATE)
  const selection = { cdrs: filter, route: ROUTE } satisfies ReplayRequest
  const plan = useResource(
    async (signal) => (fault === undefined ? client.planReplay(selection, { signal, timeoutMs: 60_000 }) : undefined),
    [],
  )
  const figures = plan.data.value
  const what = figures === undefined ? 'CDRs' : formatNumberOf(figures.total, 'CDR')
  const send = (event: SubmitEvent) => {
    event.preventDefault()
    onClose()
    runUnlessUndone(`Replaying ${what} through ${ROUTE}`, async () => {
      const { id } = await client.startReplay({ ...selection, rate: rate.peek() })
      if (page.peek() === 'cdrs') go('replays', { id })
      return `${what} are being replayed through ${ROUTE}. The page Replays shows the outcome of each.`
    })
  }
  if (fault !== undefined)
    return (
      <Dialog title="Replay these CDRs" onClose={onClose}>
        <p>{fault}</p>
        <div class="actions">
          <button onClick={onClose}>Close</button>
        </div>
      </Dialog>
    )
  return (
    <Dialog title={`Replay these CDRs through ${ROUTE}?`} onClose={onClose}>
      {plan.problem.value !== undefined && <Problem problem={plan.problem.value} onRetry={plan.refresh} />}
      <p role="status">
        {figures === undefined ? (
          `Counting the CDRs that match (${description}) …`
        ) : (
          <Question plan={figures} rate={rate.value} />
        )}
      </p>
      <p class="hint">
        The function receives the same bytes and ids again, with the header ce-replay. The read model does not count
        them twice. A target that deduplicates accepts them only if its idempotency key contains the id of the replay.
      </p>
      <form class="stack" onSubmit={send}>
        <RateField label="CDRs a second, at most" rate={rate} />
        <div class="actions">
          <button disabled={figures === undefined || figures.total === 0}>Replay {what}</button>
          <button type="button" class="second" onClick={onClose}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  )
}

function Question({ plan: { total, complete, skipped }, rate }: { readonly plan: ReplayPlan; readonly rate: number }) {
  if (total === 0) return <>No CDR matches, so nothing would be replayed.</>
  const atLeast = complete ? '' : 'at least '
  return (
    <>
      Replay <strong>{`${atLeast}${formatNumberOf(total, 'CDR')}`}</strong>? At {formatCount(rate)} a second, that takes{' '}
      {formatSpan(Math.ceil(total / rate) * 1_000)}
      {complete ? '' : ' or longer'}.{skipped > 0 && ` ${formatNumberOf(skipped, 'CDR')} would be skipped.`}
    </>
  )
}
