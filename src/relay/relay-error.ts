import { firstError, maskText } from '../protocol/index.ts'

/** Why the relay cannot continue. docs/logs.md lists each code with its remedy. */
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

/** An error that stops the relay, or that stops it from handling one notification. */
export class RelayError extends Error {
  override readonly name = 'RelayError'
  readonly code: RelayErrorCode
  /** The remedy, where errors of this code have different remedies. */
  readonly fix: string | undefined

  constructor(code: RelayErrorCode, message: string, options?: ErrorOptions & { readonly fix?: string }) {
    super(message, options)
    this.code = code
    this.fix = options?.fix
  }
}

/** Returns the HTTP status with which AWS answered; undefined when there was no answer. */
export const statusOf = (error: unknown): number | undefined =>
  (error as { $metadata?: { httpStatusCode?: number } } | null | undefined)?.$metadata?.httpStatusCode

/** Whether a server sent this error: its text may quote the request, and so a packet. A connection error contains only addresses and ports. */
const isAnswer = (error: Error): boolean => statusOf(error) !== undefined || /^-?[A-Z]{2,} /.test(error.message)

/**
 * Whether the server that answered the SDK is not SQS as the SDK knows it: a proxy with its own page, or a server that speaks only the query protocol
 * from before 2023.
 */
export const isForeignAnswer = (error: unknown): boolean =>
  error instanceof Error && error.name === 'SyntaxError' && '$metadata' in error

/** Returns the text of an error for a log line. The deepest cause of a connection error says more than its wrapper. */
export function describe(thrown: unknown): string {
  const error = firstError(thrown)
  if (!(error instanceof Error)) return String(error)
  if (isForeignAnswer(error)) return `the server that answered is not SQS (status ${statusOf(error) ?? 'unknown'})`
  // An error that a server sent is already named by the server.
  const own = 'code' in error && statusOf(error) === undefined ? error.code : undefined
  const code = typeof own === 'string' && !error.message.includes(own) ? ` (${own})` : ''
  const message = isAnswer(error) ? error.message.replace(QUOTED, '') : wordsOfConnection(error)
  const mask = isAnswer(error) ? maskText : String
  return `${error.name === 'Error' ? '' : `${mask(error.name)}: `}${mask(message)}${code}`
}

/**
 * Redis quotes the arguments of a command that it does not know, including the password of AUTH. The text of a failed script ends with its digest and
 * one of its lines, which do not help an operator.
 */
const QUOTED = /(,? with args beginning with:| script: [0-9a-f]{40}, on @user_script).*$/s

/**
 * Returns the useful part of a connection error. Of OpenSSL's line, only the reason helps an operator
 * (`error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:…`). Node joins an IPv6 address and its port like an IPv4 address:
 * `connect ECONNREFUSED ::1:8001`.
 */
function wordsOfConnection(error: Error): string {
  const { reason, library, address, port } = error as { [field: string]: unknown } & Error
  if (typeof reason === 'string' && typeof library === 'string') return reason
  if (typeof address === 'string' && address.includes(':') && typeof port === 'number')
    return error.message.replace(`${address}:${port}`, `[${address}]:${port}`)
  return error.message
}
