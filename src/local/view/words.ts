import type { Part } from '../street/part.ts'

/** A clock's time of day: `12:00:05`. */
export const timeOfDay = (date: Date): string => date.toTimeString().slice(0, 8)

/** At most five characters: `0`, `950`, `1.2k`, `34k`, `5.6M`. */
export function short(n: number): string {
  if (n < 1_000) return String(Math.round(n))
  const [divided, letter] = n < 999_500 ? [n / 1_000, 'k'] : [n / 1_000_000, 'M']
  return `${divided < 9.95 ? divided.toFixed(1) : Math.round(divided)}${letter}`
}

/** Milliseconds as a whole number, with one decimal below ten; `-` when there is none. */
export function shortMs(ms: number | undefined): string {
  if (ms === undefined) return '-'
  return ms < 9.95 ? ms.toFixed(1) : short(ms)
}

const NAME_WIDTH = 17
const ADDRESS_WIDTH = 28

/** `relay            http://127.0.0.1:8081       serves /livez` */
export function partLine({ name, address, note }: Part): string {
  if (note === undefined) return `${name.padEnd(NAME_WIDTH)}${address}`
  return `${name.padEnd(NAME_WIDTH)}${address.padEnd(ADDRESS_WIDTH - 2)}  ${note}`
}
