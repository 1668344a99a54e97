/** `ok`: as it should be. `warn`: it works, but something is to be known or could not be looked at. `fail`: the relay cannot do its work, or would lose something. */
export type State = 'ok' | 'warn' | 'fail'

/** What a check found. Holds no personal data and no secret. */
export type Finding = {
  /** What was looked at, such as `redis/main/memory`; the same in each run. */
  readonly check: string
  readonly state: State
  /** One line. */
  readonly text: string
  /** What mends it: a command, or a variable to set. */
  readonly fix?: string
}

export const ok = (check: string, text: string): Finding => ({ check, state: 'ok', text })
export const warn = (check: string, text: string, fix?: string): Finding => ({
  check,
  state: 'warn',
  text,
  ...(fix === undefined ? {} : { fix }),
})
export const fail = (check: string, text: string, fix?: string): Finding => ({
  check,
  state: 'fail',
  text,
  ...(fix === undefined ? {} : { fix }),
})
