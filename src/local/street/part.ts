/** Something of the street that runs, for the line that says so. */
export type Part = {
  readonly name: string
  /** Never with a password in it. */
  readonly address: string
  readonly note?: string
}

/** A Redis URL that may be shown. */
export function hideCredentials(url: string): string {
  const shown = new URL(url)
  shown.username = ''
  shown.password = ''
  return shown.href
}
