import type { Output } from './view.ts'

const WORDS: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warning',
  50: 'error',
  60: 'fatal',
}

/** The relay's JSON log lines as lines to read: `12:00:05 warning: gap: PubSub was not heard (source main, cause restart)`. */
export function formatLogLine(json: string): string {
  const { level, time, msg, ...fields } = JSON.parse(json) as {
    level: number
    time: string
    msg: string
    [field: string]: unknown
  }
  const more = Object.entries(fields).map(
    ([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  return `${new Date(time).toTimeString().slice(0, 8)} ${WORDS[level] ?? level}: ${msg}${more.length === 0 ? '' : ` (${more.join(', ')})`}`
}

/** A destination for the log that shows each line. */
export const toLines = (show: (line: string) => void): Output => ({
  write: (json: string) => show(formatLogLine(json)),
})
