import { signal, type ReadonlySignal } from '@preact/signals'

/** Which rows of a list are selected, and which one the keyboard is at. */
export type Selection = {
  /** The ids of selected rows. */
  readonly ids: ReadonlySignal<ReadonlySet<string>>
  /** Every row that matches the filters is selected, those too that were not read. */
  readonly isAll: ReadonlySignal<boolean>
  /** The id of the row that the keyboard is at. */
  readonly at: ReadonlySignal<string | undefined>
  /** Moves the keyboard by so many rows; `range` selects the rows between. */
  readonly move: (rows: readonly string[], by: number, range?: boolean) => void
  readonly focus: (id: string) => void
  /** Selects a row, or no longer; `range` selects all rows from the last one that was selected. */
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
