/** Collects violations by guarantee: counts all of them, and keeps descriptions of the first `keep` of each guarantee. */
export function createBroken(keep = 10) {
  const found = new Map<string, { count: number; readonly words: string[] }>()
  return {
    add(promise: string, words: string): void {
      const known = found.get(promise) ?? { count: 0, words: [] }
      known.count++
      if (known.words.length < keep) known.words.push(words)
      found.set(promise, known)
    },
    get count(): number {
      return [...found.values()].reduce((sum, { count }) => sum + count, 0)
    },
    /** Formats the violations as lines to print. */
    lines: (): string[] =>
      [...found].flatMap(([promise, { count, words }]) => [
        `BROKEN ${promise} (${count})`,
        ...words.map((line) => `  ${line}`),
        ...(count > words.length ? [`  … and ${count - words.length} more`] : []),
      ]),
  }
}

export type Broken = ReturnType<typeof createBroken>
