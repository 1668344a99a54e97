/** `ok`: as it should be. `warn`: it works, but something is to be known or could not be looked at. `fail`: the relay cannot do its work, or would lose something. */
export type State = 'ok' | 'warn' | 'fail'

/** Names a finding for scripts and tests: room, part, event. */
export type DoctorCode = `doctor.${string}.${string}`

/** What a check found. Holds no personal data and no secret. */
export type Finding = {
  /** What was looked at, such as `redis/main/memory`; the same in each run. */
  readonly check: string
  readonly state: State
  /** What was found; none when all is well. Listed in docs/logs.md. */
  readonly code?: DoctorCode
  /** One line. */
  readonly text: string
  /** What mends it: a command, or a variable to set. */
  readonly fix?: string
}

export const ok = (check: string, text: string): Finding => ({ check, state: 'ok', text })

const found =
  (state: State) =>
  (check: string, code: DoctorCode, text: string, fix?: string): Finding => ({
    check,
    state,
    code,
    text,
    ...(fix === undefined ? {} : { fix }),
  })
export const warn = found('warn')
export const fail = found('fail')
