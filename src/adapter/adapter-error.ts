import { isSqsText, maskText } from '../protocol/index.ts'

/** An error of the adapter itself, not of a handler. */
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

const MAX_CAUSES = 4
const MAX_FRAMES = 8
const MAX_ERROR_LENGTH = 500
// Masking keeps the length of a text, so a number that is cut here lies beyond `MAX_ERROR_LENGTH`. A message may contain a whole packet of 3 MiB.
const MAX_ERROR_INPUT = 2000

/** Describes an error and its causes, masked (see `maskText`), in at most 500 characters: `TypeError: fetch failed; Error: connect ECONNREFUSED`. */
export function describeError(error: unknown, payload?: unknown): string {
  const words: string[] = []
  for (let at = error, depth = 0; at !== undefined && depth < MAX_CAUSES; depth++) {
    words.push(at instanceof Error ? `${at.name}: ${at.message}` : 'the thrown value is not an Error')
    at = at instanceof Error ? at.cause : undefined
  }
  return maskText(words.join('; ').slice(0, MAX_ERROR_INPUT), payload).slice(0, MAX_ERROR_LENGTH)
}

/** Returns the frames of an error's stack, without its message. */
export function describeStack(error: unknown): string[] {
  if (!(error instanceof Error) || error.stack === undefined) return []
  // The stack begins with the message, which may have several lines, so only lines that look like frames are returned.
  const frames = error.stack.split('\n').filter((line) => /^\s+at .*[:(]/.test(line))
  return frames.slice(0, MAX_FRAMES).map((line) => maskText(line.trim()))
}

const MAX_REASON_LENGTH = 500
// A text is masked before it is cut to `MAX_REASON_LENGTH`, so that no part of a number remains. This limit avoids masking a whole page of HTML.
const MAX_REASON_INPUT = 4000

/** Turns a text into the reason of a parked notification: masked, one line, at most 500 characters, all of which every SQS server accepts. */
export function toReason(text: string, payload?: unknown): string {
  const line = maskText(text.slice(0, MAX_REASON_INPUT), payload)
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
  const short = line.length > MAX_REASON_LENGTH ? `${line.slice(0, MAX_REASON_LENGTH - 1)}…` : line
  return isSqsText(short) ? short : short.replace(/[^\x20-\uD7FF\uE000-\uFFFD]/g, '?')
}

/** A log line. It contains no payload, no personal data and no secret. docs/logs.md lists the codes. */
export type LogLine = {
  readonly level: 'warn' | 'error'
  readonly code: `${string}.${string}.${string}`
  readonly message: string
  readonly [field: string]: unknown
}

export type Log = (line: LogLine) => void

/** Writes one JSON line to standard error, whose fields CloudWatch reads. */
export const logToConsole: Log = (line) => console.error(JSON.stringify(line))

/** Returns a function that logs an error of a handler. */
export const logFailure = (log: Log) => (error: unknown) =>
  log({
    level: 'error',
    code: 'adapter.handler.failed',
    message: 'the handler failed',
    error: describeError(error),
    stack: describeStack(error),
  })

/** Makes a response that describes a problem. Source: RFC 9457. */
export function problemResponse(
  status: number,
  title: string,
  detail?: string,
  more?: Record<string, string>,
): Response {
  const body = JSON.stringify({ type: 'about:blank', title, status, detail })
  return new Response(body, { status, headers: { 'content-type': 'application/problem+json', ...more } })
}
