import { within } from '../../runtime/index.ts'
import { describe, RelayError } from '../errors.ts'

/** `ok`: as it should be. `warn`: it works, but something is to be known or could not be looked at. `fail`: the relay cannot do its work, or would lose something. */
export type State = 'ok' | 'warn' | 'fail'

/** Names a finding for scripts and tests: room, part, event. */
export type DoctorCode = `doctor.${string}.${string}`

/** What a check says. Holds no personal data and no secret. */
export type Diagnosis = {
  readonly state: State
  /** What was found; none when all is well. Listed in docs/logs.md. */
  readonly code?: DoctorCode
  /** One line. */
  readonly text: string
  /** What mends it: a command, or a variable to set. */
  readonly fix?: string
}

/** A diagnosis, and the check that made it, such as `redis/main/memory`; the same in each run. */
export type Finding = { readonly check: string } & Diagnosis

export const ok = (text: string): Diagnosis => ({ state: 'ok', text })

const bad =
  (state: State) =>
  (code: DoctorCode, text: string, fix?: string): Diagnosis => ({
    state,
    code,
    text,
    ...(fix === undefined ? {} : { fix }),
  })
export const warn = bad('warn')
export const fail = bad('fail')

type Said = Diagnosis | readonly Diagnosis[]

/** Checks by name. One may have nothing to say. */
export type Checks = Readonly<Record<string, () => Said | Promise<Said>>>

/** An answer that takes longer (ms) does not come; a check that takes longer will not end. */
export const ANSWER_MS = 5_000
const CHECK_MS = 20_000

/** The same as `promise`, for at most `limitMs`. @throws RelayError when it takes longer */
export const inTime = <T>(promise: Promise<T>, limitMs = ANSWER_MS): Promise<T> =>
  within(limitMs, promise, () => new RelayError('doctor.check.no_answer', `no answer within ${limitMs / 1000} s`))

/**
 * Runs all checks at once, and puts `<part>/` before their names; findings come in the order of the checks. An error that a check throws
 * becomes a warning, so one check that cannot run hides no other. Never throws.
 *
 * @param explain returns what to do about an error that a check threw
 * @param limitMs how long a check may take
 */
export async function makeChecks(
  part: string,
  checks: Checks,
  explain: (error: unknown) => string | undefined = () => undefined,
  limitMs = CHECK_MS,
): Promise<Finding[]> {
  const makeCheck = async (run: Checks[string]): Promise<Said> => {
    try {
      return await inTime((async () => run())(), limitMs)
    } catch (error) {
      return warn('doctor.check.not_possible', `this could not be checked: ${wordsOf(error)}`, explain(error))
    }
  }
  const all = Object.entries(checks).map(async ([name, run]) =>
    [await makeCheck(run)].flat().map((said) => ({ check: `${part}/${name}`, ...said })),
  )
  return (await Promise.all(all)).flat()
}

/** `1 item is`, `2 items are` */
export const counted = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`

/** Makes a text fit to be shown in one line. */
export const oneLine = (text: string): string => text.replace(/\p{Cc}+/gu, ' ').slice(0, 300)

/** The words of an error, fit to be shown. */
export const wordsOf = (error: unknown): string => oneLine(describe(error))
