import { maskText } from '../protocol/index.ts'

/** Why the relay cannot go on: each is in docs/logs.md with its remedy. */
type RelayErrorCode =
  | 'relay.journal.locked'
  | 'relay.journal.unusable'
  | 'relay.http.address_in_use'
  | 'relay.pubsub.heartbeat_lost'
  | 'relay.pubsub.disconnected'
  | 'relay.redis.no_answer'
  | 'relay.redis.no_secret'

/** What the relay cannot go on with, or cannot do for one notification. */
export class RelayError extends Error {
  override readonly name = 'RelayError'
  readonly code: RelayErrorCode

  constructor(code: RelayErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

const statusOf = (error: Error): number | undefined =>
  (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode

/** Whether a server said so: it may quote what it was sent, and so a packet. An error of the connection names addresses and ports only. */
const isAnswer = (error: Error): boolean => statusOf(error) !== undefined || /^-?[A-Z]{2,} /.test(error.message)

/** What answered the SDK is no SQS as it knows it: a proxy with a page of its own, or a server that speaks only the query protocol of before 2023. */
export const isForeignAnswer = (error: unknown): boolean =>
  error instanceof Error && error.name === 'SyntaxError' && '$metadata' in error

/** The words of an error, for a log line: the deepest cause of a connection error says more than its wrapper. */
export function describe(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return describe(error.errors[0])
  if (!(error instanceof Error)) return String(error)
  if (isForeignAnswer(error)) return `what answered is no SQS (status ${statusOf(error) ?? 'unknown'})`
  const code =
    'code' in error && typeof error.code === 'string' && !error.message.includes(error.code) ? ` (${error.code})` : ''
  // Redis quotes the arguments of a command that it does not know: the password of AUTH among them.
  // Behind the words of a failed script stand its digest and a line of it: they tell an operator nothing.
  const message = isAnswer(error)
    ? maskText(
        error.message
          .replace(/,? with args beginning with:.*$/s, '')
          .replace(/ script: [0-9a-f]{40}, on @user_script.*$/s, ''),
      )
    : error.message
  return `${error.name === 'Error' ? '' : `${isAnswer(error) ? maskText(error.name) : error.name}: `}${message}${code}`
}
