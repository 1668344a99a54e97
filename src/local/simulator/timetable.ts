type Entry = { readonly atMs: number; readonly order: number; readonly task: () => void }

/** What is to happen at which instant of virtual time: a heap. Tasks of the same instant run in the order in which they were set. */
export type Timetable = {
  now: () => number
  /** Sets a task `ms` from now (negative: now). */
  after: (ms: number, task: () => void) => void
  /** Runs the next task, and with it moves the time on. False when there is none. */
  step: () => boolean
}

const isBefore = (a: Entry, b: Entry) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

export function createTimetable(): Timetable {
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
    for (;;) {
      const left = 2 * at + 1
      if (left >= heap.length) break
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
    after: (ms, task) => add({ atMs: nowMs + Math.max(0, ms), order: order++, task }),
    step: () => {
      const entry = take()
      if (entry === undefined) return false
      nowMs = entry.atMs
      entry.task()
      return true
    },
  }
}
