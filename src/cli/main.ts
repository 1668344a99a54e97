import { CommanderError } from 'commander'
import { firstError } from '../protocol/index.ts'
import { ConfigError } from '../runtime/index.ts'
import { createProgram } from './program.ts'

/** Exit codes: 0 done, 1 failed, 2 wrong arguments or variables. */
async function main(argv: readonly string[]): Promise<number> {
  try {
    await createProgram().parseAsync(argv, { from: 'user' })
    return 0
  } catch (error) {
    // program.ts has already printed it. `--help` and `--version` also end here, with exit code 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    const first = firstError(error)
    const isDebug = process.env['ENIGMA_LOG_LEVEL'] === 'debug'
    const words = first instanceof Error ? (isDebug && first.stack) || first.message || first.name : String(first)
    // The code follows the sentence, which is the first line of the message.
    process.stderr.write(`enigma-relay: ${words.replace(/:?(?=\n|$)/, (end) => ` (${codeOf(first)})${end}`)}\n`)
    return first instanceof ConfigError || codeOf(first) === 'dev.fail.unknown_route' ? 2 : 1
  }
}

/** Returns the code of an error of this project, which has three parts. Codes of Node and the AWS SDK do not. */
function codeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return /^[a-z_]+\.[a-z_]+\.[a-z_]+$/.test(code) ? code : 'cli.command.failed'
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // A reader that has seen enough, such as `head`, closes the pipe.
  if (error.code === 'EPIPE') process.exit()
  process.stderr.write(`enigma-relay: standard output cannot be written: ${error.message} (cli.output.failed)\n`)
  process.exit(1)
})
process.exitCode = await main(process.argv.slice(2))
