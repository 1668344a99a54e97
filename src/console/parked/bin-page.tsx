import { useSignal } from '@preact/signals'
import { useMemo } from 'preact/hooks'
import type { BinPage, BinRecord, Client } from '../../client/index.ts'
import { Dialog, useKeys } from '../focus.tsx'
import { formatBytes, formatCount, formatNumberOf, formatTime } from '../format.ts'
import { addressOf } from '../location.tsx'
import { Empty, Loaded, Problem, usePages } from '../resource.tsx'
import { type Column, createSelection, Rows, type Selection } from '../rows.tsx'
import { mayOperate, type Session } from '../session.ts'
import { runUnlessUndone, showError, showStatus } from '../status-bar.tsx'
import {
  countOf,
  deleteParts,
  isParkedChange,
  type Part,
  type SelectedDialogProps,
  usePlan,
} from './parked-messages.ts'
import { TimeLeft } from './parked-views.tsx'

/** Ids in one request: the limit of the API. */
const MAX_IDS = 1_000

/** Lists deleted messages for as long as they can be restored. */
export function Bin({ session }: { readonly session: Session }) {
  const selection = useMemo(createSelection, [])
  const list = usePages<BinRecord, BinPage>((query) => session.client.bin(query), [session], {
    refreshOn: isParkedChange,
  })
  const operates = mayOperate.value
  return (
    <Loaded resource={list}>
      {({ items, next }) =>
        items.length === 0 ? (
          <Empty title="The bin is empty">
            Messages that are deleted on the page Parked stay here for seven days and can be restored.
          </Empty>
        ) : (
          <>
            {operates && (
              <Restore
                session={session}
                items={items}
                isCut={next !== null}
                selection={selection}
                onDone={list.refresh}
              />
            )}
            <Rows
              label="Deleted messages"
              items={items}
              idOf={({ id }) => id}
              selection={operates ? selection : undefined}
              cursor={selection}
              onEnd={list.more}
              columns={COLUMNS}
            />
          </>
        )
      }
    </Loaded>
  )
}

function Restore({
  session,
  items,
  isCut,
  selection,
  onDone,
}: {
  readonly session: Session
  readonly items: readonly BinRecord[]
  /** Whether the bin has more messages than were read. */
  readonly isCut: boolean
  readonly selection: Selection
  readonly onDone: () => void
}) {
  const isBusy = useSignal(false)
  const selected = items.filter(({ id }) => selection.ids.value.has(id)).map(({ id }) => id)
  const restore = async () => {
    const at = selection.at.peek()
    const ids = selected.length > 0 ? selected : items.flatMap(({ id }) => (id === at ? [id] : []))
    if (ids.length === 0) return showStatus('Select messages first: with the check boxes, or with X.')
    isBusy.value = true
    let [moved, skipped] = [0, 0]
    try {
      for (let from = 0; from < ids.length; from += MAX_IDS) {
        const answer = await session.client.restore(ids.slice(from, from + MAX_IDS))
        moved += answer.moved
        skipped += answer.skipped
      }
      selection.clear()
      const left = skipped === 0 ? '' : ` ${formatNumberOf(skipped, 'message')} had already left the bin.`
      showStatus({
        text: `${formatNumberOf(moved, 'message')} ${moved === 1 ? 'is' : 'are'} parked again.${left}`,
        link: { href: addressOf('parked', { view: 'messages' }), label: 'Show parked messages' },
      })
    } catch (error) {
      showError(error)
    } finally {
      isBusy.value = false
      onDone()
    }
  }
  useKeys([{ key: 'u', does: 'restore the selected messages', run: () => void restore() }], [items, selected.length])
  return (
    <div class="actions">
      <button disabled={selected.length === 0 || isBusy.value} onClick={() => void restore()}>
        Restore
      </button>
      <span role="status">{selected.length === 0 ? 'None selected' : `${formatCount(selected.length)} selected`}</span>
      {selected.length < items.length && (
        <button class="second" onClick={() => selection.select(items.map(({ id }) => id))}>
          Select {isCut ? `the newest ${formatCount(items.length)}` : `all ${formatCount(items.length)}`}
        </button>
      )}
      {selected.length > 0 && (
        <button class="quiet" onClick={() => selection.clear()}>
          Clear selection
        </button>
      )}
    </div>
  )
}

const COLUMNS: readonly Column<BinRecord>[] = [
  { title: 'Deleted', cell: ({ deleted_at: at }) => formatTime(at) },
  { title: 'By', cell: ({ deleted_by: by }) => by },
  { title: 'Route', cell: ({ route }) => route },
  { title: 'Reference', cell: ({ subject }) => subject ?? '–' },
  { title: 'Reason it was parked', cell: ({ reason }) => <span title={reason}>{reason}</span> },
  { title: 'Size', isNumber: true, cell: ({ bytes }) => formatBytes(bytes) },
  { title: 'Expires in', cell: ({ expires_at: at }) => <TimeLeft until={at} /> },
]

/** The word that confirms a permanent deletion. */
const CONFIRMATION = 'delete'

/** Asks before messages are moved to the bin. Messages of the relay, which has no bin, need a second confirmation. */
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
  const ofFunctions = parts.filter(({ from }) => from === 'functions')
  const ofRelay = parts.filter(({ from }) => from === 'relay')
  if (parts.length === 0)
    return (
      <Dialog title="There is nothing to delete" onClose={onClose}>
        <p>The messages are gone, or a replay is sending them.</p>
      </Dialog>
    )
  if (ofFunctions.length === 0 || isBinDone.value)
    return <DeletePermanently key="relay" client={client} parts={ofRelay} onStart={onStart} onClose={onClose} />
  const move = () => {
    runUnlessUndone(`Deleting ${formatNumberOf(sum.total, 'message')}`, async () => {
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
        <p>{formatNumberOf(sum.skipped, 'message')} will stay: they are gone, or a replay is sending them.</p>
      )}
      {sum.relay > 0 && (
        <p>
          {formatNumberOf(sum.relay, 'more message')} {sum.relay === 1 ? 'was' : 'were'} parked by the relay, which has
          no bin. The next dialog asks about {sum.relay === 1 ? 'it' : 'them'}.
        </p>
      )}
      {!sum.complete && <p>Only the newest 20,000 were counted. Older messages that match are deleted too.</p>}
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

function DeletePermanently({
  client,
  parts,
  onStart,
  onClose,
}: Pick<SelectedDialogProps, 'onStart' | 'onClose'> & { readonly client: Client; readonly parts: readonly Part[] }) {
  const typed = useSignal('')
  const count = parts.reduce((sum, { plan }) => sum + countOf(plan), 0)
  const drop = (event: SubmitEvent) => {
    event.preventDefault()
    onClose()
    runUnlessUndone(`Deleting ${formatNumberOf(count, 'message')} of the relay permanently`, async () => {
      onStart()
      const { asked } = await deleteParts(client, parts)
      return `The relay was asked to delete ${formatNumberOf(asked, 'message')}. They leave the list when it has deleted them.`
    })
  }
  return (
    <Dialog title={`Delete ${formatNumberOf(count, 'message')} of the relay permanently?`} onClose={onClose}>
      <form class="stack" onSubmit={drop}>
        <p>
          The relay keeps messages that it parked itself, and has no bin.{' '}
          <strong>These messages cannot be restored.</strong>
        </p>
        <label>
          <span>
            Type <kbd>{CONFIRMATION}</kbd> to confirm
          </span>
          <input
            autocomplete="off"
            autofocus
            value={typed.value}
            onInput={({ currentTarget }) => void (typed.value = currentTarget.value)}
          />
        </label>
        <div class="actions">
          <button class="danger" disabled={typed.value.trim().toLowerCase() !== CONFIRMATION}>
            Delete permanently
          </button>
          <button type="button" class="quiet" onClick={onClose}>
            Keep them
          </button>
        </div>
      </form>
    </Dialog>
  )
}
