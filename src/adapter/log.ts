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
