import { describe } from '../errors.ts'

const CONTROL = /\p{Cc}+/gu

/**
 * The words of an error, fit to be shown. Redis repeats the arguments of a command that it does not know, which are user and
 * password where AUTH is renamed away: they are cut.
 */
export function wordsOf(error: unknown): string {
  return describe(error)
    .replace(/,? with args beginning with:.*$/s, '')
    .replace(CONTROL, ' ')
    .slice(0, 300)
}

/** Redis refuses for want of rights. `The user executing the script`: Redis 6 about what a script calls. */
export const isDenied = (error: unknown): boolean => /NOPERM|The user executing the script/i.test(describe(error))

/** The server does not have this command, or it is renamed away; or not this subcommand. */
export const isUnknown = (error: unknown): boolean => /unknown (sub)?command|unknown subcommand/i.test(describe(error))
