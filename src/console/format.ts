/* Text for people: formatted values, and text saved as a file. */

const WHOLE = new Intl.NumberFormat('en')

export const formatCount = (count: number): string => WHOLE.format(count)

/** Formats a count, or `–` for none. */
export const formatCountOrNone = (count: number | null | undefined): string =>
  count === null || count === undefined ? '–' : formatCount(count)

/** `1 message`, `4,212 messages`. */
export const formatNumberOf = (count: number, one: string, many = `${one}s`): string =>
  `${formatCount(count)} ${count === 1 ? one : many}`

const pad = (part: number): string => String(part).padStart(2, '0')

/** Formats a duration: `9s`, `4m 09s`, `2h 05m`, `3d 4h`. */
export function formatSpan(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000))
  const [minutes, hours, days] = [Math.floor(seconds / 60), Math.floor(seconds / 3_600), Math.floor(seconds / 86_400)]
  if (days > 0) return `${days}d ${hours % 24}h`
  if (hours > 0) return `${hours}h ${pad(minutes % 60)}m`
  if (minutes > 0) return `${minutes}m ${pad(seconds % 60)}s`
  return `${seconds}s`
}

/** Formats a local time: `08:00:05`. If the day is not that of `nowMs`, the date comes first: `2026-01-31 08:00:05`. */
export function formatTime(iso: string | null | undefined, nowMs = Date.now()): string {
  if (iso === null || iso === undefined) return '–'
  const at = new Date(iso)
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`
  const day = (date: Date) => `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`
  return day(at) === day(new Date(nowMs)) ? time : `${day(at)} ${time}`
}

export const formatShare = (share: number | null): string => (share === null ? '–' : `${(share * 100).toFixed(1)} %`)

export const formatSeconds = (seconds: number | null): string => (seconds === null ? '–' : formatSpan(seconds * 1_000))

/** `412 B`, `1.2 kB`, `3.4 MB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`
  return bytes < 1_000_000 ? `${(bytes / 1_000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`
}

/** Lets the browser save text as a file. */
export function download(name: string, content: string | Blob, type = 'text/plain'): void {
  const href = URL.createObjectURL(new Blob([content], { type: `${type};charset=utf-8` }))
  const link = document.createElement('a')
  link.href = href
  link.download = name
  link.click()
  // The browser has started to read the URL by then.
  setTimeout(() => URL.revokeObjectURL(href), 10_000)
}
