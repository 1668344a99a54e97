import { CommanderError } from 'commander'
import { ConfigError } from '../runtime/index.ts'
import { createProgram } from './program.ts'

/** Exit codes: 0 done, 1 failed, 2 wrong arguments or variables. */
async function main(argv: readonly string[]): Promise<number> {
  try {
    await createProgram().parseAsync(argv, { from: 'user' })
    return 0
  } catch (error) {
    // Commander has printed its words already; `--help` and `--version` end here with 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    if (error instanceof ConfigError) return fail(error.message, 2)
    return fail(
      process.env['ENIGMA_LOG_LEVEL'] === 'debug' && error instanceof Error
        ? (error.stack ?? error.message)
        : words(error),
      1,
    )
  }
}

function fail(message: string, exitCode: number): number {
  process.stderr.write(`enigma-relay: ${message}\n`)
  return exitCode
}

/** The deepest cause says what happened; an AggregateError alone says nothing. */
function words(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return words(error.errors[0])
  return error instanceof Error ? error.message : String(error)
}

process.exitCode = await main(process.argv.slice(2))
