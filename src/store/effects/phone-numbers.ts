import { textOr } from '../effect.ts'

/** Phone numbers of one line may be written with and without their prefix: their last digits tell them apart. */
export const LAST_DIGITS = 7

/** The numbers of a call or a CDR as the script compares them: digits, by commas; empty where there is none. */
export function toNumbers(...values: readonly unknown[]): string {
  const digits = values.map((value) => (textOr(value) ?? '').replace(/\D/g, '').slice(-LAST_DIGITS))
  return [...new Set(digits.filter((number) => number !== ''))].join(',')
}
