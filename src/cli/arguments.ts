import { InvalidArgumentError } from 'commander'

/** Reads an argument as a whole number of at least `least`. @throws InvalidArgumentError, which commander prints with the option's name. */
export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(value) || value < least || value > most) {
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`)
    }
    return value
  }
}

/** Reads an argument as a number above 0 and up to `most`. */
export function positiveNumber(most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^\d*\.?\d+$/.test(text) || !(value > 0) || value > most) {
      throw new InvalidArgumentError(`It must be a number above 0 and at most ${most}.`)
    }
    return value
  }
}

/** Reads an argument as the address of a Redis server. */
export function redisUrl(text: string): string {
  if (/^rediss?:\/\/\S+$/.test(text) && URL.canParse(text)) return text
  throw new InvalidArgumentError('It must be a redis:// or rediss:// URL, such as redis://127.0.0.1:8001.')
}

const AGE_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Reads an argument as a moment: an age before now (`90s`, `15m`, `2h`, `3d`) or an ISO 8601 time. Unix time, ms. */
export function moment(text: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  if (unit !== undefined) return Date.now() - Number(count) * (AGE_MS[unit] ?? 0)
  const at = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d|$)/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(at)) return at
  throw new InvalidArgumentError('It must be an age such as 90s, 15m, 2h or 3d, or a time such as 2026-01-31T10:00Z.')
}
