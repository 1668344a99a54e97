import { maskText } from '../protocol/index.ts'

/** Why the relay cannot go on: each is in docs/logs.md with its remedy. */
type RelayErrorCode =
  | 'relay.journal.locked'
  | 'relay.journal.unusable'
  | 'relay.journal.damaged'
  | 'relay.http.address_in_use'
  | 'relay.pubsub.heartbeat_lost'
  | 'relay.pubsub.disconnected'
  | 'relay.lease.taken'
  | 'relay.redis.no_answer'
  | 'relay.redis.no_secret'
  | 'relay.redis.no_permission'
  | 'relay.redis.not_redis'
  | 'relay.redis.plain_port'
  | 'relay.redis.tls_port'
  | 'relay.target.no_secret'
  | 'relay.source.refused'
  | 'relay.parked.redis_failed'
  | 'relay.parked.queue_unusable'
  | 'relay.parked.not_announced'
  | 'relay.parked.file_exists'
  | 'relay.parked.file_failed'
  | 'relay.parked.not_found'
  | 'relay.parked.stopped'
  | 'relay.parked.incomplete'
  | 'doctor.check.no_answer'

/** What the relay cannot go on with, or cannot do for one notification. */
export class RelayError extends Error {
  override readonly name = 'RelayError'
  readonly code: RelayErrorCode
  /** What mends it, where that is not the same for all errors of this code. */
  readonly fix: string | undefined

  constructor(code: RelayErrorCode, message: string, options?: ErrorOptions & { readonly fix?: string }) {
    super(message, options)
    this.code = code
    this.fix = options?.fix
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
  if (isForeignAnswer(error)) return `the server that answered is not SQS (status ${statusOf(error) ?? 'unknown'})`
  // What a server answered is named by the server.
  const own = 'code' in error && statusOf(error) === undefined ? error.code : undefined
  const code = typeof own === 'string' && !error.message.includes(own) ? ` (${own})` : ''
  const message = isAnswer(error) ? error.message.replace(QUOTED, '') : wordsOfConnection(error)
  const mask = isAnswer(error) ? maskText : String
  return `${error.name === 'Error' ? '' : `${mask(error.name)}: `}${mask(message)}${code}`
}

/**
 * Redis quotes the arguments of a command that it does not know: the password of AUTH among them. Behind the words of a failed script stand
 * its digest and a line of it: they tell an operator nothing.
 */
const QUOTED = /(,? with args beginning with:| script: [0-9a-f]{40}, on @user_script).*$/s

/**
 * Of OpenSSL's line only the reason is for an operator (`error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:…`).
 * Node joins an address of IPv6 and its port as if it were one of IPv4: `connect ECONNREFUSED ::1:8001`.
 */
function wordsOfConnection(error: Error): string {
  const { reason, library, address, port } = error as { [field: string]: unknown } & Error
  if (typeof reason === 'string' && typeof library === 'string') return reason
  if (typeof address === 'string' && address.includes(':') && typeof port === 'number')
    return error.message.replace(`${address}:${port}`, `[${address}]:${port}`)
  return error.message
}
