import { maskText, type RelayCommand, type Routes } from '../../protocol/index.ts'
import { createLog } from '../../runtime/index.ts'
import type { SourceConfig } from '../config.ts'
import { createMetrics } from '../metrics.ts'
import type { Targets } from '../targets/open-targets.ts'
import { createDelivery } from './parked-delivery.ts'
import { withSource, takeOut } from './parked-list.ts'
import { overPlaces, type Elsewhere } from './overflow.ts'

export type CommandTools = {
  readonly targets: Pick<Targets, 'targetOf'>
  readonly routes: Routes
  readonly dataDir: string
}

/** What became of the entries of a command. */
export type CommandResult = {
  readonly done: number
  /** Entries that their target rejected again, or that cannot be sent: they stay. */
  readonly stay: number
  /** Why the first of them stays, masked. */
  readonly why: string | undefined
  /** The ids that no entry has: done by a former attempt, or taken out by somebody else. */
  readonly unknown: readonly string[]
  /** Files of other relays, which may have those. */
  readonly elsewhere: readonly Elsewhere[]
  /** Why it has to be tried again: a target fails, or the relay stops. Undefined when nothing is left to do. */
  readonly problem: string | undefined
}

/** Deliveries of a relay share the figures that nobody reads: each set of them would be watched for ever. */
let figures: ReturnType<typeof createMetrics> | undefined

/**
 * Carries out a command as `enigma-relay parked --retry` or `--drop` does, beside the relay and with a connection of its own. It may be run
 * again at any time: an entry leaves its list once its target has it and its notice, and is sent with the same id until then.
 *
 * @throws RelayError when the list cannot be read or changed, or nothing can be announced
 */
export async function runCommand(
  { action, ids }: RelayCommand,
  source: SourceConfig,
  { targets, routes, dataDir }: CommandTools,
  signal: AbortSignal,
): Promise<CommandResult> {
  figures ??= createMetrics()
  const to = { targets, metrics: figures }
  const delivery = createDelivery({ ...to, signal })
  const notices = createDelivery(to)
  const unknown = new Set(ids)
  const filter = { ids: new Set(ids) }
  const counts = { done: 0, stay: 0 }
  let why: string | undefined
  let elsewhere: readonly Elsewhere[] = []
  // What goes wrong is thrown, and logged by the caller.
  await withSource(source, createLog('silent'), async (client) => {
    elsewhere = await overPlaces({ client, sourceId: source.id, dataDir, signal }, async (list) => {
      const more = { list, filter, sourceId: source.id, client, routes, delivery, notices, signal }
      for await (const taken of takeOut(action, more)) {
        unknown.delete(taken.id)
        if (taken.state === 'stays') {
          counts.stay++
          why ??= maskText(taken.why).slice(0, 300)
        } else counts.done++
      }
    })
  })
  const problem = signal.aborted ? 'the relay is stopping' : delivery.problem
  return { ...counts, why, unknown: [...unknown], elsewhere, problem }
}
