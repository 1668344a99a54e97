import { Command } from 'commander'
import { readFileSync } from 'node:fs'
import { moment, positiveNumber, redisUrl, wholeNumber } from './arguments.ts'
import { COMMAND_HELP, PROGRAM_HELP } from './help.ts'
import type { ParkedArguments } from './parked-arguments.ts'

/** What `simulate` and `dev` know of the call centre to play. */
export type CallCentreArguments = { readonly agents: number; readonly speed: number; readonly seed: number }

export type SimulateArguments = CallCentreArguments & { readonly url: string; readonly backup?: string }

/** The commands and their arguments. What a command does is loaded when it is run. */
export function createProgram(): Command {
  const program = new Command('enigma-relay')
    .description('Forwards every notification of an Enigma dialler from Redis into SQS: nothing lost, in order.')
    .version(`enigma-relay ${readVersion()}`, '-V, --version', 'print what this is')
    .helpOption('-h, --help', 'print this help')
    .showHelpAfterError('Run with --help to see what there is.')
    .configureOutput({
      outputError: (text, write) =>
        write(`enigma-relay: ${text.replace(/^error: /, '').trim()} (cli.arguments.invalid)\n`),
    })
    // main.ts chooses the exit code.
    .exitOverride()
    .addHelpText('after', PROGRAM_HELP)

  program
    .command('relay')
    .description('run the relay beside the dialler, until SIGTERM or Ctrl-C')
    .addHelpText('after', COMMAND_HELP.relay)
    .action(async () => (await import('./relay.ts')).runRelay())

  program
    .command('doctor')
    .description('check everything that the relay needs, and say what mends it; takes, sends and changes nothing')
    .option('--json', 'print all findings as JSON', false)
    .addHelpText('after', COMMAND_HELP.doctor)
    .action(async (options: { json: boolean }) => (await import('./doctor.ts')).runDoctor(options))

  program
    .command('queues')
    .description('print the queues that the relay sends to, or make them')
    .option('--create', 'make those that are not there, with a dead-letter queue each', false)
    .addHelpText('after', COMMAND_HELP.queues)
    .action(async (options: { create: boolean }) => (await import('./queues.ts')).runQueues(options))

  program
    .command('parked')
    .description('list what the relay put aside because it cannot be sent; send it again, export or drop it')
    .option('--source <id>', 'only of this source of ENIGMA_SOURCES')
    .option('--reason <reason>', 'only with this reason: too_large, refused, unreadable')
    .option('--since <time>', 'only what was put aside since: 2h, 3d, 2026-01-31T10:00Z', moment)
    .option('--json', 'print an object a line', false)
    .option('--show <id>', "print the packet's bytes, exactly")
    .option('--retry [ids...]', 'send these again, or --all')
    .option('--drop [ids...]', 'delete these for ever, or --all; only with --yes')
    .option('--export <file>', 'write entries with their packets to a new file, a line of JSON each')
    .option('--all', 'with --retry or --drop: all that the filters mean', false)
    .option('--yes', 'with --drop: do it', false)
    .addHelpText('after', COMMAND_HELP.parked)
    .action(async (options: ParkedArguments, command: Command) =>
      (await import('./parked.ts')).runParked(options, (words) => command.error(words)),
    )

  withCallCentre(program.command('simulate'))
    .description('play a call centre on a Redis server, as a dialler does')
    .option('--url <url>', 'the Redis server to write to', redisUrl, 'redis://127.0.0.1:8001')
    .option('--backup <folder>', 'keep there what Redis does not take, and push it when it is back')
    .addHelpText('after', COMMAND_HELP.simulate)
    .action(async (options: SimulateArguments) => (await import('./simulate.ts')).runSimulate(options))

  withCallCentre(program.command('dev'))
    .description('run the whole street on this machine, with a played call centre')
    .option('--no-simulator', 'play nothing: a real dialler, or your redis-cli, writes')
    .option('--bundles', 'run the functions out of the bundles that would be deployed, as on Lambda', false)
    .option('--verbose', 'print each notification, personal data masked', false)
    .addHelpText('after', COMMAND_HELP.dev)
    .action(async (options: CallCentreArguments & { simulator: boolean; bundles: boolean; verbose: boolean }) =>
      (await import('./dev.ts')).runDev(options),
    )

  return program
}

function withCallCentre(command: Command): Command {
  return command
    .option('--agents <n>', 'how many agents work', wholeNumber(1, 100_000), 40)
    .option('--speed <x>', 'how much faster than real time', positiveNumber(10_000), 1)
    .option('--seed <n>', 'the same seed plays the same calls', wholeNumber(Number.MIN_SAFE_INTEGER), 1)
}

/** What a bundle was made of; in a clone and in the package it is not there. */
declare const ENIGMA_VERSION: string | undefined

/** Of the bundle, or else of package.json: two folders up from `src/cli`, and from `dist/cli`. */
function readVersion(): string {
  if (typeof ENIGMA_VERSION === 'string') return ENIGMA_VERSION
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  return version
}
