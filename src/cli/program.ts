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
    .description('Forwards every notification of an Enigma dialler from Redis to SQS, in order and without loss.')
    .version(`enigma-relay ${readVersion()}`, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .showHelpAfterError('Run with --help for usage.')
    .configureOutput({
      outputError: (text, write) =>
        write(`enigma-relay: ${text.replace(/^error: /, '').trim()} (cli.arguments.invalid)\n`),
    })
    // main.ts chooses the exit code.
    .exitOverride()
    .addHelpText('after', PROGRAM_HELP)

  program
    .command('relay')
    .description('run the relay until SIGTERM or Ctrl-C')
    .addHelpText('after', COMMAND_HELP.relay)
    .action(async () => (await import('./relay.ts')).runRelay())

  program
    .command('doctor')
    .description('check your setup without changing anything, and print a fix for each problem')
    .option('--json', 'print all findings as JSON', false)
    .addHelpText('after', COMMAND_HELP.doctor)
    .action(async (options: { json: boolean }) => (await import('./doctor.ts')).runDoctor(options))

  program
    .command('queues')
    .description('print the queues that the relay sends to, or create them')
    .option('--create', 'create the missing queues, each with its dead-letter queue', false)
    .addHelpText('after', COMMAND_HELP.queues)
    .action(async (options: { create: boolean }) => (await import('./queues.ts')).runQueues(options))

  program
    .command('parked')
    .description('list the notifications that the relay parked; retry, export or drop them')
    .option('--source <id>', 'only entries of this source in ENIGMA_SOURCES')
    .option('--reason <reason>', 'only entries with this reason: too_large, refused, unreadable')
    .option('--since <time>', 'only entries parked since then: 2h, 3d, 2026-01-31T10:00Z', moment)
    .option('--json', 'print one JSON object per line', false)
    .option('--show <id>', 'print the exact bytes of the packet')
    .option('--retry [ids...]', 'send these notifications again, or --all')
    .option('--drop [ids...]', 'delete these notifications permanently, or --all; needs --yes')
    .option('--export <file>', 'write the entries with their packets to a new file, one JSON object per line')
    .option('--all', 'with --retry or --drop: every entry that matches the filters', false)
    .option('--yes', 'with --drop: confirm the deletion', false)
    .addHelpText('after', COMMAND_HELP.parked)
    .action(async (options: ParkedArguments, command: Command) =>
      (await import('./parked.ts')).runParked(options, (words) => command.error(words)),
    )

  withCallCentre(program.command('simulate'))
    .description('write the notifications of a simulated call centre to Redis, as a dialler does')
    .option('--url <url>', 'the Redis server to write to', redisUrl, 'redis://127.0.0.1:8001')
    .option('--backup <folder>', 'folder for packets that Redis does not accept; they are pushed once it does')
    .addHelpText('after', COMMAND_HELP.simulate)
    .action(async (options: SimulateArguments) => (await import('./simulate.ts')).runSimulate(options))

  withCallCentre(program.command('dev'))
    .description('run the whole system on this machine, with a simulated call centre')
    .option('--no-simulator', 'run without the simulated call centre: a real dialler or redis-cli writes')
    .option('--bundles', 'run the functions from the bundles that would be deployed, as on Lambda', false)
    .option('--verbose', 'print each notification, personal data masked', false)
    .addHelpText('after', COMMAND_HELP.dev)
    .action(async (options: CallCentreArguments & { simulator: boolean; bundles: boolean; verbose: boolean }) =>
      (await import('./dev.ts')).runDev(options),
    )

  return program
}

function withCallCentre(command: Command): Command {
  return command
    .option('--agents <n>', 'number of agents', wholeNumber(1, 100_000), 40)
    .option('--speed <x>', 'speed relative to real time', positiveNumber(10_000), 1)
    .option('--seed <n>', 'random seed; the same seed produces the same calls', wholeNumber(Number.MIN_SAFE_INTEGER), 1)
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
