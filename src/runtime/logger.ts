import { pino } from 'pino'

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/**
 * Names an event, and never changes: `relay.sqs.throttled` is room, part, event. Tests, doctor and alarms match codes. docs/logs.md lists each with
 * its meaning and remedy.
 */
export type Code = `${string}.${string}.${string}`

/** Writes one line: the code and fields for a machine, the sentence for a human. No payload and no secret; phone numbers are masked. */
type WriteLine = (fields: { readonly code: Code; readonly [field: string]: unknown }, sentence: string) => void

export type Logger = { readonly [level in Exclude<LogLevel, 'silent'>]: WriteLine }

/** Creates a logger that writes JSON lines to standard output, or to `destination`. */
export function createLog(level: LogLevel, destination?: { write: (line: string) => void }): Logger {
  const options = { level, base: null, timestamp: () => `,"time":"${new Date().toISOString()}"` }
  return destination === undefined ? pino(options) : pino(options, destination)
}

/**
 * Returns a function that decides whether a lasting problem is worth a log line, so that each problem is logged once. Call it with the present
 * problem (undefined: none). It returns `new` when the problem differs from the one before, `over` when there is none any more, and undefined while
 * nothing changes.
 */
export function createChangeDetector(): (what: string | undefined) => 'new' | 'over' | undefined {
  let known: string | undefined
  return (what) => {
    if (what === known) return undefined
    known = what
    return what === undefined ? 'over' : 'new'
  }
}
