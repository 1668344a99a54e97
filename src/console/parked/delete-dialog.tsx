import { useSignal } from '@preact/signals'
import type { Client } from '../../client/index.ts'
import { Dialog } from '../dialog.tsx'
import { formatNumberOf } from '../format.ts'
import { addressOf } from '../location.tsx'
import { doSoon } from '../pending.tsx'
import { type SelectedDialogProps, usePlan } from '../replays/replay-dialog.tsx'
import { Problem } from '../resource.tsx'
import { countOf, deleteParts, type Part } from './selected.ts'

/** What has to be written before something is deleted for ever. */
const WORD = 'delete'

/** Asks before messages go to the bin; and again, about those of the relay, which have none. */
export function DeleteDialog({ session: { client }, selected, onStart, onClose }: SelectedDialogProps) {
  const { planned, problem } = usePlan(client, selected)
  const isBinDone = useSignal(false)
  if (planned === undefined)
    return (
      <Dialog title="Delete" onClose={onClose}>
        {problem === undefined ? <p aria-busy="true">Counting …</p> : <Problem problem={problem} />}
      </Dialog>
    )
  const { parts, sum } = planned
  const [ofFunctions, ofRelay] = [parts.filter(({ from }) => from === 'functions'), parts.filter(isOfRelay)]
  if (parts.length === 0)
    return (
      <Dialog title="There is nothing to delete" onClose={onClose}>
        <p>The messages are gone, or a replay is sending them.</p>
      </Dialog>
    )
  if (ofFunctions.length === 0 || isBinDone.value)
    return <DeleteForEver key="relay" client={client} parts={ofRelay} onStart={onStart} onClose={onClose} />
  const move = () => {
    doSoon(`Deleting ${formatNumberOf(sum.total, 'message')}`, async () => {
      onStart()
      const { moved, skipped } = await deleteParts(client, ofFunctions)
      const left = skipped === 0 ? '' : ` ${formatNumberOf(skipped, 'message')} stayed: gone, or being replayed.`
      return {
        text: `${formatNumberOf(moved, 'message')} ${moved === 1 ? 'was' : 'were'} moved to the bin.${left}`,
        link: { href: addressOf('bin'), label: 'Show the bin' },
      }
    })
    if (ofRelay.length > 0) isBinDone.value = true
    else onClose()
  }
  return (
    <Dialog key="functions" title={`Delete ${formatNumberOf(sum.total, 'message')}?`} onClose={onClose}>
      <p>
        Moved to the bin for seven days (<code>ENIGMA_BIN_DAYS</code>). They can be restored until then.
      </p>
      {sum.skipped > 0 && (
        <p>{formatNumberOf(sum.skipped, 'message')} will stay: already gone, or being sent by a replay.</p>
      )}
      {sum.relay > 0 && (
        <p>
          {formatNumberOf(sum.relay, 'more message')} {sum.relay === 1 ? 'is' : 'are'} of the relay, which has no bin.
          The next question is about {sum.relay === 1 ? 'it' : 'them'}.
        </p>
      )}
      {!sum.complete && <p>Only the newest 20,000 were counted: there are more, and they are deleted too.</p>}
      <div class="actions">
        <button class="danger" onClick={move} autofocus>
          Delete
        </button>
        <button class="quiet" onClick={onClose}>
          Cancel
        </button>
      </div>
    </Dialog>
  )
}

const isOfRelay = ({ from }: Part): boolean => from === 'relay'

function DeleteForEver({
  client,
  parts,
  onStart,
  onClose,
}: Pick<SelectedDialogProps, 'onStart' | 'onClose'> & { readonly client: Client; readonly parts: readonly Part[] }) {
  const written = useSignal('')
  const count = parts.reduce((sum, { plan }) => sum + countOf(plan), 0)
  const drop = (event: SubmitEvent) => {
    event.preventDefault()
    onClose()
    doSoon(`Deleting ${formatNumberOf(count, 'message')} of the relay for ever`, async () => {
      onStart()
      const { asked } = await deleteParts(client, parts)
      return `The relay was asked to delete ${formatNumberOf(asked, 'message')}. They leave the list when it has done so.`
    })
  }
  return (
    <Dialog title={`Delete ${formatNumberOf(count, 'message')} of the relay for ever?`} onClose={onClose}>
      <form class="stack" onSubmit={drop}>
        <p>
          The relay keeps what it parked itself, and has no bin. <strong>Nobody can restore these messages.</strong>
        </p>
        <label>
          <span>
            Type <kbd>{WORD}</kbd> to confirm
          </span>
          <input
            autocomplete="off"
            autofocus
            value={written.value}
            onInput={({ currentTarget }) => void (written.value = currentTarget.value)}
          />
        </label>
        <div class="actions">
          <button class="danger" disabled={written.value.trim().toLowerCase() !== WORD}>
            Delete for ever
          </button>
          <button type="button" class="quiet" onClick={onClose}>
            Keep them
          </button>
        </div>
      </form>
    </Dialog>
  )
}
