import { RelayError } from '../errors.ts'
import { warn, type Finding } from './finding.ts'
import { wordsOf } from './words-of.ts'

/** One thing to look at. What it throws becomes a warning: a check that cannot be made says so, and hides no other. */
export type Check = { readonly name: string; readonly run: () => Promise<Finding | readonly Finding[]> }

/** A check that took this long (ms) will not end any more. */
const LIMIT_MS = 20_000

/** Makes a check. Never throws. @param explain what could be done about what it threw */
export async function makeCheck(
  { name, run }: Check,
  explain: (error: unknown) => string | undefined = () => undefined,
): Promise<readonly Finding[]> {
  try {
    return [await within(LIMIT_MS, run())].flat()
  } catch (error) {
    return [warn(name, 'doctor.check.not_possible', `this could not be checked: ${wordsOf(error)}`, explain(error))]
  }
}

/** The same as `promise`, for at most `limitMs`. @throws RelayError when it takes longer */
export async function within<T>(limitMs: number, promise: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => late.reject(new RelayError('doctor.check.no_answer', `no answer within ${limitMs / 1000} s`)),
    limitMs,
  )
  try {
    return await Promise.race([promise, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
