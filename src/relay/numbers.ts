/**
 * The least number that the next claim or epoch may have. The number itself is given out by a script in Redis, which knows the last
 * one; this is for a Redis that came back empty while the clock was set back: no number that was ever seen here comes again.
 */
export function createNumbers({ now, last = 0, onSeen }: { readonly now: () => number; readonly last?: number | undefined; readonly onSeen: (number: number) => void }) {
  let highest = last
  return {
    least: (): number => Math.max(now(), highest + 1),
    seen(number: number): void {
      if (number <= highest) return
      highest = number
      onSeen(number)
    },
  }
}

export type Numbers = ReturnType<typeof createNumbers>
