import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import type { Client, Replay, ReplayPlan } from '../../client/index.ts'
import { Dialog } from '../dialog.tsx'
import { formatCount, formatNumberOf } from '../format.ts'
import { addressOf, go, page } from '../location.tsx'
import { countOf, findOldest, type SelectedDialogProps, startReplays, usePlan } from '../parked/parked-messages.ts'
import { doSoon, type Said } from '../pending.tsx'
import { Problem } from '../resource.tsx'

const DEFAULT_RATE = 50
const MAX_RATE = 1_000

/** Asks once, with the figures of the plan, before messages are sent again. */
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
    doSoon(`Replaying ${formatNumberOf(count, 'message')}`, async () => {
      onStart()
      return toSaid(await startReplays(client, parts, rate.peek()))
    })
  }
  const replayOne = () => {
    onClose()
    doSoon('Replaying one message', async () => {
      const id = await findOldest(client, selected, parts)
      if (id === undefined) return 'None of the messages is parked any more.'
      const replay = await client.startReplay({ ids: [id] })
      // Unless somebody has gone on to something else.
      if (page.peek() === 'parked') go('replays', { id: replay.id })
      return toSaid([replay])
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
        {sum.total > 0 && (
          <label>
            <span>Messages a second, at most</span>
            <input
              type="number"
              min={1}
              max={MAX_RATE}
              required
              value={rate.value}
              onInput={({ currentTarget }) => void (rate.value = currentTarget.valueAsNumber)}
            />
          </label>
        )}
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
    sum.skipped > 0 && `${formatCount(sum.skipped)} more will be skipped: gone, or being sent by another replay.`,
    !sum.complete && 'Only the newest 20,000 were counted: there are more, and they are sent too.',
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

/** That replays have started, with the way to them. */
function toSaid(replays: readonly Replay[]): Said {
  const [first] = replays
  if (replays.length === 1 && first !== undefined)
    return { text: 'The replay has started.', link: { href: addressOf('replays', { id: first.id }), label: 'Show it' } }
  return {
    text: `${replays.length} replays have started.`,
    link: { href: addressOf('replays'), label: 'Show them' },
  }
}
