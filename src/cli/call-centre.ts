import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Fault } from '../lambda/faults.ts'
import { createProducer, ProducerError } from '../producer/index.ts'
import { createShutdown, sleep, type Code } from '../runtime/index.ts'
import { createSimulator, type CallCentre } from '../simulator/simulator.ts'
import { CliError } from './cli-output.ts'

/* The commands that simulate a call centre: `simulate` against any Redis, `dev` with the whole system. */

const REPORT_MS = 1_000

const tell = ({ code }: { readonly code: Code }, sentence: string) =>
  void process.stdout.write(`${sentence} (${code})\n`)
const BACKUP_LOG = { info: tell, warn: tell, error: tell }

export type SimulateArguments = CallCentre & { readonly url: string; readonly backup?: string }

/** Runs `enigma-relay simulate` until SIGINT or SIGTERM, and prints a line a second. @throws CliError if Redis accepts nothing */
export async function runSimulate({ url, backup, ...callCentre }: SimulateArguments): Promise<void> {
  const producer = createProducer({
    url,
    ...(backup === undefined ? {} : { backup: { folder: backup, log: BACKUP_LOG } }),
  })
  const simulator = createSimulator({ producer, ...callCentre })
  const shutdown = createShutdown(process)
  const ended = new AbortController()
  const report = async () => {
    for (; !ended.signal.aborted; await sleep(REPORT_MS, ended.signal)) {
      const { published, pushed, lost, kept } = simulator.counters
      if (published + pushed === 0) continue
      const troubles = lost + kept === 0 ? '' : `, lost ${lost}, kept in the backup folder ${kept}`
      const time = new Date().toTimeString().slice(0, 8)
      process.stdout.write(`${time}  published ${published}, pushed ${pushed}${troubles}\n`)
    }
  }
  const { agents, speed, seed } = callCentre
  process.stdout.write(`simulating ${agents} agents at ${speed} times real time, seed ${seed}; press Ctrl-C to stop\n`)
  const reporting = report()
  try {
    await simulator.run(shutdown.signal)
  } catch (error) {
    if (!(error instanceof ProducerError) || error.code !== 'producer.write.not_taken') throw error
    const fix = 'check --url, or keep packets while Redis is away with --backup'
    throw new CliError('cli.simulate.not_taken', `${error.message}: ${fix}`, { cause: error })
  } finally {
    ended.abort()
    await reporting
    await producer.close()
    shutdown.dispose()
  }
}

export type DevArguments = CallCentre & {
  readonly simulator: boolean
  readonly bundles: boolean
  readonly edge: boolean
  readonly verbose: boolean
  readonly fail: readonly FaultArgument[]
  readonly demo: boolean
}

/** A simulated fault of handlers, active from the start. */
export type FaultArgument = Omit<Fault, 'untilMs'> & { readonly seconds?: number }

/** A fifth of the CDRs: enough to see. The fault ends before a user has read how to replay them. */
const DEMO: FaultArgument = { route: 'campaigns-cdr', status: 422, share: 0.2, seconds: 60 }

/** Runs `enigma-relay dev`, the whole street, until SIGINT or SIGTERM. @throws CliError, ConfigError, StreetError, RelayError */
export async function runDev({
  simulator,
  bundles,
  edge,
  verbose,
  fail,
  demo,
  ...callCentre
}: DevArguments): Promise<void> {
  const root = new URL('../../', import.meta.url)
  // The published package contains neither the functions nor the local AWS.
  if (!existsSync(new URL('functions/api.ts', root)))
    throw new CliError(
      'cli.dev.no_clone',
      'dev needs the functions, which only a clone of the repository has: clone it and run npm run dev there',
    )
  const { showStreet } = await import('../local/view/show-street.ts')
  await showStreet({
    process,
    folder: resolve(process.env['ENIGMA_DATA_DIR']?.trim() || fileURLToPath(new URL('.enigma', root))),
    callCentre: simulator ? callCentre : undefined,
    bundles,
    edge,
    isVerbose: verbose,
    faults: [...fail, ...(demo ? [DEMO] : [])].map(({ seconds, ...fault }) => ({
      ...fault,
      untilMs: seconds === undefined ? undefined : Date.now() + seconds * 1_000,
    })),
    isDemo: demo,
  })
}
