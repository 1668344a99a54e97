/** A line for the log: no payload, no personal data, no secret. */
export type LogLine = { readonly level: 'warn' | 'error'; readonly message: string; readonly [field: string]: unknown }

export type Log = (line: LogLine) => void

/** One JSON line on standard error, which CloudWatch reads as fields. */
export const logToConsole: Log = (line) => console.error(JSON.stringify(line))
