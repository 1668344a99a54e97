/** Matches the personal data and secrets of the tests. None of them may appear in a log. */
const NEVER = [/2782\d{7}/, /\b082\d{7}\b/, /C-PRIVATE/, /private-recording/, /secret-of-the-test/]

/** Asserts that no line contains personal data or a secret. @throws Error with the first line that does */
export function expectPrivate(lines: readonly string[], whose: string): void {
  for (const line of lines) {
    const found = NEVER.find((pattern) => pattern.test(line))
    if (found !== undefined)
      throw new Error(`personal data or a secret in ${whose}, by ${found.source}: ${line.slice(0, 2_000)}`)
  }
}
