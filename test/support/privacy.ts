/** What the tests use as personal data and as secrets: none of it may be in a log. */
const NEVER = [/2782\d{7}/, /\b082\d{7}\b/, /C-PRIVATE/, /private-recording/, /secret-of-the-test/]

/** @throws Error that names the first line with personal data or a secret in it */
export function expectPrivate(lines: readonly string[], whose: string): void {
  for (const line of lines) {
    const found = NEVER.find((pattern) => pattern.test(line))
    if (found !== undefined)
      throw new Error(`personal data or a secret in ${whose}, by ${found.source}: ${line.slice(0, 2_000)}`)
  }
}
