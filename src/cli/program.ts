import { Command, InvalidArgumentError, Option } from 'commander'
import { readFileSync } from 'node:fs'
import type { DevArguments, FaultArgument, SimulateArguments } from './call-centre.ts'
import { COMMAND_HELP, PROGRAM_HELP } from './cli-output.ts'
import type { ParkedArguments } from './run-parked.ts'

/** Creates the command line parser. The module of a command is loaded when the command runs. */
export function createProgram(): Command {
  const program = new Command('enigma-relay')
    .description(
      'Forwards every notification of an Enigma dialler from Redis to SQS or to an HTTP server, in order and without loss.',
    )
    .version(`enigma-relay ${readVersion()}`, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .showHelpAfterError('Run with --help for usage.')
    .configureOutput({
      outputError: (text, write) =>
        write(`enigma-relay: ${text.replace(/^error: /, '').trim()} (cli.arguments.invalid)\n`),
    })
    // main.ts sets the exit code.
    .exitOverride()
    .addHelpText('after', PROGRAM_HELP)

  program
    .command('relay')
    .description('run the relay until SIGTERM or Ctrl-C')
    .addHelpText('after', COMMAND_HELP.relay)
    .action(async () => (await import('./run-relay.ts')).runRelay())

  program
    .command('doctor')
    .description('check your setup without changing anything, and print a fix for each problem')
    .option('--json', 'print all findings as JSON', false)
    .addHelpText('after', COMMAND_HELP.doctor)
    .action(async (options: { json: boolean }) => (await import('./run-relay.ts')).runDoctor(options))

  program
    .command('queues')
    .description('list the queues that the relay sends to, or create them')
    .option('--create', 'create the missing queues, each with its dead-letter queue', false)
    .addHelpText('after', COMMAND_HELP.queues)
    .action(async (options: { create: boolean }) => (await import('./run-relay.ts')).runQueues(options))

  program
    .command('parked')
    .description('list the notifications that the relay parked; retry, export or drop them')
    .option('--source <id>', 'only entries of this source in ENIGMA_SOURCES')
    .addOption(
      new Option('--reason <reason>', 'only entries with this reason').choices(['too_large', 'refused', 'unreadable']),
    )
    .option('--since <time>', 'only entries parked since then: 2h, 3d, 2026-01-31T10:00Z', moment)
    .option('--json', 'print one JSON object per line', false)
    .option('--show <id>', 'print the exact bytes of the packet', nonEmpty)
    .option('--retry [ids...]', 'send these notifications again, or --all', nonEmpties)
    .option('--drop [ids...]', 'delete these notifications permanently, or --all; needs --yes', nonEmpties)
    .option('--export <file>', 'write the entries with their packets to a new file, one JSON object per line', nonEmpty)
    .option('--all', 'with --retry or --drop: every entry that matches the filters', false)
    .option('--yes', 'with --drop: confirm the deletion', false)
    .addHelpText('after', COMMAND_HELP.parked)
    .action(async (options: ParkedArguments, command: Command) =>
      (await import('./run-parked.ts')).runParked(options, (words) => command.error(words)),
    )

  withCallCentre(program.command('simulate'))
    .description('write the notifications of a simulated call centre to Redis, as a dialler does')
    .option('--url <url>', 'the Redis server to write to', redisUrl, 'redis://127.0.0.1:8001')
    .option(
      '--backup <folder>',
      'folder for packets that Redis does not accept; they are pushed once it does',
      nonEmpty,
    )
    .addHelpText('after', COMMAND_HELP.simulate)
    .action(async (options: SimulateArguments) => (await import('./call-centre.ts')).runSimulate(options))

  withCallCentre(program.command('dev'))
    .description('run the whole system on this machine, with a simulated call centre; needs a clone of the repository')
    .option('--no-simulator', 'run without the simulated call centre; a real dialler or redis-cli writes the packets')
    .option('--bundles', 'run the functions from the bundles that would be deployed, as on Lambda', false)
    .addOption(
      new Option('--edge', 'run the functions and the API on workerd, the runtime of Cloudflare Workers, without SQS')
        .default(false)
        .conflicts('bundles'),
    )
    .option('--verbose', 'print each notification, personal data masked', false)
    .option(
      '--fail <fault>',
      'make handlers fail: ROUTE=STATUS[:SHARE[:SECONDS]], such as campaigns-cdr=422:5%:60; repeatable',
      faults,
      [],
    )
    .option('--demo', 'let some CDRs fail for a minute, and print how to replay them in the console', false)
    .addHelpText('after', COMMAND_HELP.dev)
    .action(async (options: DevArguments) => (await import('./call-centre.ts')).runDev(options))

  return program
}

function withCallCentre(command: Command): Command {
  return command
    .option('--agents <n>', 'number of agents', wholeNumber(1, 100_000), 40)
    .option('--speed <x>', 'speed relative to real time', positiveNumber(10_000), 1)
    .option('--seed <n>', 'random seed; the same seed produces the same calls', wholeNumber(Number.MIN_SAFE_INTEGER), 1)
}

/** The version that the build writes into a bundle. In a clone and in the package it is not defined. */
declare const ENIGMA_VERSION: string | undefined

/** Returns the version of the bundle, else that of package.json, which is two folders above both `src/cli` and `dist/cli`. */
function readVersion(): string {
  if (typeof ENIGMA_VERSION === 'string') return ENIGMA_VERSION
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { readonly version: string }).version
}

/** Creates a parser of a number. It throws InvalidArgumentError, which commander prints with the option's name. */
const number = (pattern: RegExp, fits: (value: number) => boolean, must: string) => (text: string) => {
  const value = Number(text)
  if (pattern.test(text) && fits(value)) return value
  throw new InvalidArgumentError(`It must be ${must}.`)
}

const wholeNumber = (least: number, most = Number.MAX_SAFE_INTEGER) =>
  number(
    /^-?\d+$/,
    (value) => Number.isSafeInteger(value) && value >= least && value <= most,
    `a whole number from ${least} to ${most}`,
  )

/** Creates a parser of a number above 0 and up to `most`. */
const positiveNumber = (most: number) =>
  number(/^\d*\.?\d+$/, (value) => value > 0 && value <= most, `a number above 0 and at most ${most}`)

/** Parses a simulated fault of handlers, such as `campaigns-cdr=422:5%:60`, and appends it to those before it. */
function faults(text: string, before: readonly FaultArgument[]): FaultArgument[] {
  const [, route, status, share = '100', seconds] =
    /^([a-z0-9_-]+)=([1-5]\d\d)(?::(\d{1,3}(?:\.\d+)?)%(?::(\d{1,6}))?)?$/.exec(text) ?? []
  if (route === undefined || Number(status) < 400 || Number(share) <= 0 || Number(share) > 100)
    throw new InvalidArgumentError(
      'It must be ROUTE=STATUS, ROUTE=STATUS:SHARE or ROUTE=STATUS:SHARE:SECONDS with a status from 400 to 599, such as campaigns-cdr=422:5%:60.',
    )
  return [
    ...before,
    {
      route,
      status: Number(status),
      share: Number(share) / 100,
      ...(seconds === undefined ? {} : { seconds: Number(seconds) }),
    },
  ]
}

/** Parses the address of a Redis server. */
function redisUrl(text: string): string {
  // The path is the number of a database.
  if (/^rediss?:\/\/\S+$/.test(text) && /^\/?\d*$/.test(URL.parse(text)?.pathname ?? '-')) return text
  throw new InvalidArgumentError('It must be a redis:// or rediss:// URL, such as redis://127.0.0.1:8001.')
}

/** Rejects an empty argument, such as a variable of the shell that is not set. */
function nonEmpty(text: string): string {
  if (text.trim() !== '') return text
  throw new InvalidArgumentError('It must not be empty.')
}

const nonEmpties = (text: string, before: unknown): string[] => [
  ...(Array.isArray(before) ? (before as string[]) : []),
  nonEmpty(text),
]

const AGE_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Parses an age before now (`90s`, `15m`, `2h`, `3d`) or an ISO 8601 time. Returns Unix time, ms. */
function moment(text: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  if (unit !== undefined) return Date.now() - Number(count) * (AGE_MS[unit] ?? 0)
  const at = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d|$)/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(at)) return at
  throw new InvalidArgumentError('It must be an age such as 90s, 15m, 2h or 3d, or a time such as 2026-01-31T10:00Z.')
}
