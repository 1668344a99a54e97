import type { Output } from './view.ts'

const WORDS: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warning',
  50: 'error',
  60: 'fatal',
}

/** Formats a JSON log line for a human: `12:00:05 warning: the sentence (relay.pubsub.gap, source main)`. */
export function formatLogLine(json: string): string {
  const { level, time, msg, code, ...fields } = JSON.parse(json) as {
    level: number
    time: string
    msg: string
    code?: string
    [field: string]: unknown
  }
  const named = Object.entries(fields).map(
    ([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  const more = code === undefined ? named : [code, ...named]
  return `${new Date(time).toTimeString().slice(0, 8)} ${WORDS[level] ?? level}: ${msg}${more.length === 0 ? '' : ` (${more.join(', ')})`}`
}

/** A destination for the log that shows each line. */
export const toLines = (show: (line: string) => void): Output => ({
  write: (json: string) => show(formatLogLine(json)),
})
