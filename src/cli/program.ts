import { Command } from 'commander'
import { readFileSync } from 'node:fs'
import { positiveNumber, redisUrl, wholeNumber } from './arguments.ts'
import { COMMAND_HELP, PROGRAM_HELP } from './help.ts'

/** What `simulate` and `dev` know of the call centre to play. */
export type CallCentreArguments = { readonly agents: number; readonly speed: number; readonly seed: number }

/** The commands and their arguments. What a command does is loaded when it is run. */
export function createProgram(): Command {
  const program = new Command('enigma-relay')
    .description('Forwards every notification of an Enigma dialler from Redis into SQS: nothing lost, in order.')
    .version(readVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .showHelpAfterError('Run with --help to see what there is.')
    // main.ts chooses the exit code.
    .exitOverride()
    .addHelpText('after', PROGRAM_HELP)

  program
    .command('relay')
    .description('run the relay beside the dialler, until SIGTERM or Ctrl-C')
    .addHelpText('after', COMMAND_HELP.relay)
    .action(async () => (await import('./relay.ts')).runRelay())

  program
    .command('queues')
    .description('print the queues that the relay sends to, or make them')
    .option('--create', 'make those that are not there, with a dead-letter queue each', false)
    .addHelpText('after', COMMAND_HELP.queues)
    .action(async (options: { create: boolean }) => (await import('./queues.ts')).runQueues(options))

  withCallCentre(program.command('simulate'))
    .description('play a call centre on a Redis server, as a dialler does')
    .option('--url <url>', 'the Redis server to write to', redisUrl, 'redis://127.0.0.1:8001')
    .addHelpText('after', COMMAND_HELP.simulate)
    .action(async (options: CallCentreArguments & { url: string }) => (await import('./simulate.ts')).runSimulate(options))

  withCallCentre(program.command('dev'))
    .description('run the whole street on this machine, with a played call centre')
    .option('--no-simulator', 'play nothing: a real dialler, or your redis-cli, writes')
    .option('--verbose', 'print each notification, personal data masked', false)
    .addHelpText('after', COMMAND_HELP.dev)
    .action(async (options: CallCentreArguments & { simulator: boolean; verbose: boolean }) => (await import('./dev.ts')).runDev(options))

  return program
}

function withCallCentre(command: Command): Command {
  return command
    .option('--agents <n>', 'how many agents work', wholeNumber(1, 100_000), 40)
    .option('--speed <x>', 'how much faster than real time', positiveNumber(10_000), 1)
    .option('--seed <n>', 'the same seed plays the same calls', wholeNumber(Number.MIN_SAFE_INTEGER), 1)
}

/** The version in package.json: two folders up from `src/cli`, and from `dist/cli`. */
function readVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
  return version
}
