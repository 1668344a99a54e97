/** The options of `enigma-relay parked` as commander reads them. */
export type ParkedArguments = {
  readonly source?: string
  readonly reason?: string
  /** Unix time, ms. */
  readonly since?: number
  readonly json: boolean
  readonly show?: string
  readonly retry?: true | readonly string[]
  readonly drop?: true | readonly string[]
  readonly export?: string
  readonly all: boolean
  readonly yes: boolean
}

/** What is to be done; `ids`: with these only, each of which must be there. */
export type ParkedAction =
  | { readonly name: 'list'; readonly ids?: undefined }
  | { readonly name: 'show'; readonly ids: readonly string[] }
  | { readonly name: 'export'; readonly ids?: undefined; readonly file: string }
  | { readonly name: 'retry' | 'drop'; readonly ids?: readonly string[] | undefined }

/** Finds out what is to be done. @param refuse called with what is wrong */
export function readAction(
  { show, retry, drop, export: file, all, yes }: ParkedArguments,
  refuse: (words: string) => never,
): ParkedAction {
  const named = Object.entries({ show, retry, drop, export: file }).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`],
  )
  if (named.length > 1) refuse(`${named.join(' and ')} cannot be combined`)
  if (yes && drop === undefined) refuse('--yes is only for --drop')
  const taken = retry ?? drop
  if (taken === undefined) {
    if (all) refuse('--all is only for --retry or --drop')
    if (show !== undefined) return { name: 'show', ids: [show] }
    return file === undefined ? { name: 'list' } : { name: 'export', file }
  }
  const name = retry === undefined ? 'drop' : 'retry'
  if (taken === true && !all) refuse(`--${name} needs ids, or --all for every entry that matches the filters`)
  if (taken !== true && all) refuse(`--${name} accepts ids or --all, not both`)
  return { name, ids: taken === true ? undefined : taken }
}
