import { isSqsText, maskText } from '../protocol/index.ts'

/** An error of the adapter itself. */
export class AdapterError extends Error {
  override readonly name = 'AdapterError'
  readonly code:
    | 'adapter.step.time_limit'
    | 'adapter.step.no_time'
    | 'adapter.record.no_commit'
    | 'adapter.event.not_sqs'
    | 'adapter.functions.invalid'
    | 'adapter.verify.invalid'

  constructor(code: AdapterError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

const DEEPEST_CAUSE = 4
const STACK_FRAMES = 8
const LONGEST_WORDS = 500
// Masking keeps the length, so half a number that this cuts off lies behind `LONGEST_WORDS`; a message may hold a whole 3 MiB packet.
const LONGEST_ERROR_READ = 2000

/** The words of an error and of its causes, masked (see `maskText`), at most 500 characters: `TypeError: fetch failed; Error: connect ECONNREFUSED`. */
export function describeError(error: unknown, payload?: unknown): string {
  const words: string[] = []
  for (let at = error, depth = 0; at !== undefined && depth < DEEPEST_CAUSE; depth++) {
    words.push(at instanceof Error ? `${at.name}: ${at.message}` : 'the thrown value is not an Error')
    at = at instanceof Error ? at.cause : undefined
  }
  return maskText(words.join('; ').slice(0, LONGEST_ERROR_READ), payload).slice(0, LONGEST_WORDS)
}

/** Where an error comes from: the frames of its stack, without its message. */
export function describeStack(error: unknown): string[] {
  if (!(error instanceof Error) || error.stack === undefined) return []
  // The message is in the stack's first lines, and a message of several lines may look like anything: only frames are taken.
  const frames = error.stack.split('\n').filter((line) => /^\s+at .*[:(]/.test(line))
  return frames.slice(0, STACK_FRAMES).map((line) => maskText(line.trim()))
}

const LONGEST_REASON = 500
// Masked before it is cut to `LONGEST_REASON`, so that no half of a number is left; a whole page of HTML is not.
const LONGEST_READ = 4000

/** A text as the reason of a parked notification: masked, one line, short, of characters that every SQS server takes. */
export function toReason(text: string, payload?: unknown): string {
  const line = maskText(text.slice(0, LONGEST_READ), payload)
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
  const short = line.length > LONGEST_REASON ? `${line.slice(0, LONGEST_REASON - 1)}…` : line
  return isSqsText(short) ? short : short.replace(/[^\x20-\uD7FF\uE000-\uFFFD]/g, '?')
}

/** A line for the log: no payload, no personal data, no secret. The codes are in docs/logs.md. */
export type LogLine = {
  readonly level: 'warn' | 'error'
  readonly code: `${string}.${string}.${string}`
  readonly message: string
  readonly [field: string]: unknown
}

export type Log = (line: LogLine) => void

/** Writes one JSON line to standard error; CloudWatch reads its fields. */
export const logToConsole: Log = (line) => console.error(JSON.stringify(line))

/** Logs an error of a handler. */
export const logFailure = (log: Log) => (error: unknown) =>
  log({
    level: 'error',
    code: 'adapter.handler.failed',
    message: 'the handler failed',
    error: describeError(error),
    stack: describeStack(error),
  })

/** An answer that says what is wrong. Source: RFC 9457. */
export function problemResponse(
  status: number,
  title: string,
  detail?: string,
  more?: Record<string, string>,
): Response {
  const body = JSON.stringify({ type: 'about:blank', title, status, detail })
  return new Response(body, { status, headers: { 'content-type': 'application/problem+json', ...more } })
}
