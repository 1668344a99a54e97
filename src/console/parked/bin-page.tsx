import { useSignal } from '@preact/signals'
import { useMemo } from 'preact/hooks'
import type { BinPage, BinRecord } from '../../client/index.ts'
import { formatBytes, formatCount, formatNumberOf, formatTime } from '../format.ts'
import { useKeys } from '../keys.ts'
import { addressOf } from '../location.tsx'
import { say, sayProblem } from '../pending.tsx'
import { Empty, Loaded, usePages } from '../resource.tsx'
import { type Column, createSelection, Rows, type Selection } from '../rows.tsx'
import { mayOperate, type Session } from '../session.ts'
import { Left } from './causes.tsx'
import { isParked } from './parked-filter.ts'

/** Ids that one request takes. */
const MAX_IDS = 1_000

/** Deleted messages, for as long as they can be restored. */
export function Bin({ session }: { readonly session: Session }) {
  const selection = useMemo(createSelection, [])
  const list = usePages<BinRecord, BinPage>((query) => session.client.bin(query), [session], { on: isParked })
  const operates = mayOperate.value
  return (
    <Loaded resource={list}>
      {({ items, next }) =>
        items.length === 0 ? (
          <Empty title="The bin is empty">
            Messages that somebody deletes on the page Parked stay here for seven days, and can be restored.
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
  /** There are more than were read. */
  readonly isCut: boolean
  readonly selection: Selection
  readonly onDone: () => void
}) {
  const isBusy = useSignal(false)
  const selected = items.filter(({ id }) => selection.ids.value.has(id)).map(({ id }) => id)
  const restore = async () => {
    const at = selection.at.peek()
    const ids = selected.length > 0 ? selected : items.flatMap(({ id }) => (id === at ? [id] : []))
    if (ids.length === 0) return say('Select messages first: with the check boxes, or with X.')
    isBusy.value = true
    let [moved, skipped] = [0, 0]
    try {
      for (let from = 0; from < ids.length; from += MAX_IDS) {
        const answer = await session.client.restore(ids.slice(from, from + MAX_IDS))
        moved += answer.moved
        skipped += answer.skipped
      }
      selection.clear()
      const left = skipped === 0 ? '' : ` ${formatNumberOf(skipped, 'message')} had left the bin before.`
      say({
        text: `${formatNumberOf(moved, 'message')} ${moved === 1 ? 'is' : 'are'} parked again.${left}`,
        link: { href: addressOf('parked', { view: 'messages' }), label: 'Show parked messages' },
      })
    } catch (error) {
      sayProblem(error)
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
  { title: 'Removed in', cell: ({ expires_at: at }) => <Left until={at} /> },
]
