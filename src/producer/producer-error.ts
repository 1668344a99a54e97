import { maskText } from '../protocol/index.ts'
import { firstOf, within } from '../runtime/index.ts'

/** Says why a packet was not written. */
export class ProducerError extends Error {
  override readonly name = 'ProducerError'
  readonly code:
    // Redis did not confirm it: not reachable, out of memory, no answer in time … (the reason is the `cause`). Whoever must not lose it
    // keeps it and writes it again. When only the answer was lost, it is then there twice, as with a real dialler.
    | 'producer.write.not_taken'
    // Redis did not take it, and it could not be written to the backup folder either: the disk is full … (the `cause`).
    | 'producer.backup.not_kept'
    // It cannot be written as JSON.
    | 'producer.packet.invalid'
    // The URL is not one of Redis.
    | 'producer.address.invalid'
    // Another producer uses the backup folder.
    | 'producer.backup.locked'
    // The backup folder cannot be made, read or written.
    | 'producer.backup.unusable'
    // The producer was closed before.
    | 'producer.connection.closed'
    // Another producer writes with a copy of the backup folder.
    | 'producer.backup.copied'
  /** Of several packets, how many of the first ones are in Redis or in the backup; 0 for one alone. Write the rest again. */
  readonly taken: number

  constructor(code: ProducerError['code'], message: string, options: ErrorOptions & { readonly taken?: number } = {}) {
    super(message, options)
    this.code = code
    this.taken = options.taken ?? 0
  }
}

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
  const first = firstOf(error)
  if (isAnswer(first)) return maskText(first.message)
  return first instanceof Error ? first.message : String(first)
}
