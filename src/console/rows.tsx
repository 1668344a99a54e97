import { type ReadonlySignal, signal, useSignal, useSignalEffect } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { focusNextFrame, useKeys } from './focus.tsx'

export type Column<Item> = {
  readonly title: string
  readonly cell: (item: Item) => ComponentChildren
  /** Numbers are right-aligned. Default: false. */
  readonly isNumber?: boolean
}

export type RowsProps<Item> = {
  /** The name of the list, for screen readers. */
  readonly label: string
  readonly items: readonly Item[]
  readonly idOf: (item: Item) => string
  readonly columns: readonly Column<Item>[]
  /** Makes rows selectable. Default: they are not. */
  readonly selection?: Selection | undefined
  /** Holds the row that has the keyboard's cursor. Default: `selection`. */
  readonly cursor?: Selection | undefined
  readonly onOpen?: ((item: Item) => void) | undefined
  /** Is called when the user has scrolled to the end of the items. */
  readonly onEnd?: (() => void) | undefined
  readonly rowClass?: ((item: Item) => string) | undefined
  /** Returns the content of a row without columns, or undefined for a normal row. */
  readonly bar?: ((item: Item) => ComponentChildren | undefined) | undefined
  /** Is called when the user scrolls away from the top of the list, and back. */
  readonly onTop?: ((isAtTop: boolean) => void) | undefined
}

/** In px. console.css has the same value. */
const ROW_HEIGHT = 34

/** Extra rows above and below the screen, so that scrolling shows no blank space. */
const OVERSCAN = 12

/** Renders a table of which only the visible rows are in the document, so that ten thousand rows are as fast as ten. */
export function Rows<Item>({
  label,
  items,
  idOf,
  columns,
  selection,
  cursor = selection,
  onOpen,
  onEnd,
  rowClass,
  bar,
  onTop,
}: RowsProps<Item>) {
  const frame = useRef<HTMLDivElement>(null)
  const first = useSignal(0)
  const visible = useSignal(40)
  const ids = items.map(idOf)
  const wasAtTop = useRef(true)

  const measure = () => {
    const { current } = frame
    if (current === null) return
    first.value = Math.max(0, Math.floor(current.scrollTop / ROW_HEIGHT) - OVERSCAN)
    visible.value = Math.ceil(current.clientHeight / ROW_HEIGHT) + 2 * OVERSCAN
    const isAtTop = current.scrollTop < ROW_HEIGHT / 2
    if (isAtTop !== wasAtTop.current) onTop?.((wasAtTop.current = isAtTop))
    if (current.scrollTop + current.clientHeight > current.scrollHeight - 10 * ROW_HEIGHT) onEnd?.()
  }
  useEffect(() => {
    const { current } = frame
    if (current === null) return undefined
    const observer = new ResizeObserver(measure)
    observer.observe(current)
    return () => observer.disconnect()
  }, [])

  /** Whether the keyboard has moved the cursor: its row is then scrolled into view and gets the focus. */
  const moved = useRef(false)
  useSignalEffect(() => {
    const id = cursor?.at.value
    const { current } = frame
    if (id === undefined || current === null || !moved.current) return
    moved.current = false
    const at = ids.indexOf(id)
    const [top, bottom] = [at * ROW_HEIGHT, (at + 2) * ROW_HEIGHT]
    if (top < current.scrollTop) current.scrollTop = top
    else if (bottom > current.scrollTop + current.clientHeight) current.scrollTop = bottom - current.clientHeight
    measure()
    focusNextFrame(current, 'tr[tabindex="0"]')
  })
  const move = (by: number, range: boolean) => {
    moved.current = true
    cursor?.move(ids, by, range)
  }
  const open = () => {
    const item = items[ids.indexOf(cursor?.at.peek() ?? '')]
    if (item !== undefined) onOpen?.(item)
  }
  useKeys(
    cursor === undefined
      ? []
      : [
          { key: 'j', does: 'next row', run: () => move(1, false) },
          { key: 'k', does: 'previous row', run: () => move(-1, false) },
          ...(onOpen === undefined ? [] : [{ key: 'Enter', does: 'open the row', run: open }]),
          ...(selection === undefined
            ? []
            : [
                {
                  key: 'x',
                  does: 'select the row',
                  run: () => {
                    const id = selection.at.peek()
                    if (id !== undefined) selection.toggle(ids, id)
                  },
                },
                {
                  key: 'X',
                  does: 'select all rows from the last selected one',
                  run: () => {
                    const id = selection.at.peek()
                    if (id !== undefined) selection.toggle(ids, id, true)
                  },
                },
                { key: 'J', does: 'select this row and the next', run: () => move(1, true) },
                { key: 'K', does: 'select this row and the previous one', run: () => move(-1, true) },
              ]),
        ],
    [items, cursor, selection, onOpen],
  )

  const start = Math.min(first.value, Math.max(0, items.length - 1))
  const shown = items.slice(start, start + visible.value)
  const below = Math.max(0, items.length - start - shown.length)
  const isAll = selection?.isAll.value === true
  /** The row that Tab reaches: the one with the cursor, or the first visible one. */
  const at = cursor?.at.value
  const tabbed = shown.some((item) => idOf(item) === at) ? at : shown[0] && idOf(shown[0])
  return (
    <div class="rows" ref={frame} onScroll={measure} tabIndex={cursor === undefined ? 0 : undefined}>
      <table aria-label={label} aria-rowcount={items.length + 1}>
        <thead>
          <tr>
            {selection !== undefined && (
              <th class="pick">
                <input
                  type="checkbox"
                  aria-label="Select all rows that were read"
                  checked={isAll || (ids.length > 0 && ids.every((id) => selection.ids.value.has(id)))}
                  onChange={({ currentTarget }) => (currentTarget.checked ? selection.select(ids) : selection.clear())}
                />
              </th>
            )}
            {columns.map(({ title, isNumber }) => (
              <th class={isNumber === true ? 'number' : ''}>{title}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {start > 0 && <tr aria-hidden="true" style={{ height: `${start * ROW_HEIGHT}px` }} />}
          {shown.map((item, place) => {
            const id = idOf(item)
            const isSelected = isAll || selection?.ids.value.has(id) === true
            const isAt = at === id
            const across = bar?.(item)
            return (
              <tr
                key={id}
                data-id={id}
                tabIndex={id === tabbed && cursor !== undefined ? 0 : -1}
                onFocus={({ target, currentTarget }) => {
                  if (target === currentTarget) cursor?.focus(id)
                }}
                aria-rowindex={start + place + 2}
                class={`${isSelected ? 'selected ' : ''}${isAt ? 'at ' : ''}${rowClass?.(item) ?? ''}`}
                onClick={(event) => {
                  if ((event.target as Element).closest('button, a, input, label') !== null) return
                  cursor?.focus(id)
                  if (event.shiftKey) selection?.toggle(ids, id, true)
                  else onOpen?.(item)
                }}
              >
                {across !== undefined ? (
                  <td colSpan={columns.length + (selection === undefined ? 0 : 1)}>{across}</td>
                ) : (
                  <>
                    {selection !== undefined && (
                      <td class="pick">
                        <input
                          type="checkbox"
                          aria-label={`Select ${id}`}
                          checked={isSelected}
                          onClick={({ shiftKey }) => selection.toggle(ids, id, shiftKey)}
                        />
                      </td>
                    )}
                    {columns.map(({ cell, isNumber }) => (
                      <td class={isNumber === true ? 'number' : ''}>{cell(item)}</td>
                    ))}
                  </>
                )}
              </tr>
            )
          })}
          {below > 0 && <tr aria-hidden="true" style={{ height: `${below * ROW_HEIGHT}px` }} />}
        </tbody>
      </table>
    </div>
  )
}

/** The selected rows of a list, and the row that has the keyboard's cursor. */
export type Selection = {
  /** The ids of the selected rows. */
  readonly ids: ReadonlySignal<ReadonlySet<string>>
  /** Whether every row that matches the filters is selected, including rows that were not read. */
  readonly isAll: ReadonlySignal<boolean>
  /** The id of the row that has the cursor. */
  readonly at: ReadonlySignal<string | undefined>
  /** Moves the cursor by a number of rows. `range` also selects the rows between. */
  readonly move: (rows: readonly string[], by: number, range?: boolean) => void
  readonly focus: (id: string) => void
  /** Selects or deselects a row. `range` selects all rows from the last selected one. */
  readonly toggle: (rows: readonly string[], id: string, range?: boolean) => void
  readonly selectAll: () => void
  readonly select: (ids: Iterable<string>) => void
  readonly clear: () => void
}

export function createSelection(): Selection {
  const ids = signal<ReadonlySet<string>>(new Set())
  const isAll = signal(false)
  const at = signal<string | undefined>(undefined)
  let anchor: string | undefined

  const between = (rows: readonly string[], one: string, other: string): readonly string[] => {
    const places = [rows.indexOf(one), rows.indexOf(other)]
    return places.includes(-1) ? [other] : rows.slice(Math.min(...places), Math.max(...places) + 1)
  }
  const toggle = (rows: readonly string[], id: string, range = false) => {
    const next = new Set(isAll.peek() ? rows : ids.peek())
    isAll.value = false
    if (range && anchor !== undefined) for (const one of between(rows, anchor, id)) next.add(one)
    else if (!next.delete(id)) next.add(id)
    anchor = id
    at.value = id
    ids.value = next
  }
  return {
    ids,
    isAll,
    at,
    toggle,
    move: (rows, by, range = false) => {
      const from = rows.indexOf(at.peek() ?? '')
      const to = rows[Math.min(rows.length - 1, Math.max(0, from === -1 && by < 0 ? 0 : from + by))]
      if (to === undefined) return
      if (range) {
        const start = at.peek() ?? to
        anchor ??= start
        isAll.value = false
        ids.value = new Set([...ids.peek(), ...between(rows, start, to)])
      } else anchor = to
      at.value = to
    },
    focus: (id) => void (at.value = id),
    selectAll: () => {
      isAll.value = true
      ids.value = new Set()
    },
    select: (some) => {
      isAll.value = false
      ids.value = new Set(some)
    },
    clear: () => {
      isAll.value = false
      ids.value = new Set()
      anchor = undefined
    },
  }
}
