import { maskText } from '../protocol/index.ts'
import { within } from '../runtime/index.ts'

/** Says that Redis did not answer in time: whether it ran the command is not known. */
export class NoAnswerError extends Error {
  override readonly name = 'NoAnswerError'
  readonly code = 'producer.redis.no_answer'
}

/** @throws NoAnswerError */
export const withinTime = <T>(ms: number, promise: Promise<T>): Promise<T> =>
  within(ms, promise, () => new NoAnswerError(`no answer within ${ms} ms`))

/** Whether it is Redis' own answer, such as `OOM command not allowed …`, and not an error of the connection. */
export const isAnswer = (error: unknown): error is Error => error instanceof Error && /^[A-Z]{2,} /.test(error.message)

/** An error's words that may be shown: an answer of Redis may quote the packet. */
export function words(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return words(error.errors[0])
  if (isAnswer(error)) return maskText(error.message)
  return error instanceof Error ? error.message : String(error)
}
