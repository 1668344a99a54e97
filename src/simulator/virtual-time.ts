type Entry = { readonly atMs: number; readonly order: number; readonly task: () => void }

const isBefore = (a: Entry, b: Entry) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

/** What is to happen at which instant of virtual time: a heap. Tasks of the same instant run in the order in which they were set. */
export function createTimetable() {
  const heap: Entry[] = []
  let nowMs = 0
  let order = 0

  const add = (entry: Entry) => {
    let at = heap.push(entry) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] as Entry
      if (!isBefore(entry, above)) break
      heap[at] = above
      at = parent
    }
    heap[at] = entry
  }

  const take = (): Entry | undefined => {
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    for (let left = 1; left < heap.length; left = 2 * at + 1) {
      const right = left + 1
      const child = right < heap.length && isBefore(heap[right] as Entry, heap[left] as Entry) ? right : left
      const below = heap[child] as Entry
      if (!isBefore(below, last)) break
      heap[at] = below
      at = child
    }
    heap[at] = last
    return first
  }

  return {
    now: () => nowMs,
    /** Sets a task `ms` from now (negative: now). */
    after: (ms: number, task: () => void): void => add({ atMs: nowMs + Math.max(0, ms), order: order++, task }),
    /** Runs the next task, and with it moves the time on. False when there is none. */
    step: (): boolean => {
      const entry = take()
      if (entry === undefined) return false
      nowMs = entry.atMs
      entry.task()
      return true
    },
  }
}

export type Timetable = ReturnType<typeof createTimetable>

/** How often to look at the clock, ms. */
export const LOOK_MS = 50
/** Time that went by without a look (a stall) is caught up with at this multiple of the speed, not in one burst. */
const CATCH_UP = 3

/** Where virtual time is. `speed`: virtual ms per real ms; `now`: a clock (ms) that only goes forward. */
export function createPace({ speed, now }: { readonly speed: number; readonly now: () => number }) {
  const startedAt = now()
  let lastLook = startedAt
  let virtualMs = 0
  return {
    /** Moves virtual time (ms) on to where it should be by now, and returns it. To be called at least every `LOOK_MS`. */
    look: (): number => {
      const at = now()
      const step = Math.min(at - lastLook, LOOK_MS) * speed * CATCH_UP
      lastLook = at
      virtualMs = Math.min((at - startedAt) * speed, virtualMs + step)
      return virtualMs
    },
    /** How long (real ms) until an instant of virtual time; 0 or less when it has come. */
    waitMs: (atMs: number): number => (atMs - virtualMs) / speed,
  }
}
