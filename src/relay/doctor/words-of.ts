import { describe } from '../errors.ts'

const CONTROL = /\p{Cc}+/gu

/** Fit to be shown in one line. */
export const oneLine = (text: string): string => text.replace(CONTROL, ' ').slice(0, 300)

/**
 * The words of an error, fit to be shown. Redis repeats the arguments of a command that it does not know, which are user and
 * password where AUTH is renamed away: they are cut.
 */
export const wordsOf = (error: unknown): string =>
  oneLine(describe(error).replace(/,? with args beginning with:.*$/s, ''))
