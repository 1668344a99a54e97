import { availableParallelism } from 'node:os'
import { createShutdown } from '../src/runtime/index.ts'
import { HELP, readArguments, type BenchOptions } from './arguments.ts'
import type { Report } from './arrivals.ts'
import { measureColdStarts } from './cold-start.ts'
import { measureDrain, type DrainResult } from './drain.ts'
import { measureOutage } from './outage.ts'
import { measurePubsub, type PubsubResult } from './pubsub.ts'
import {
  coldTargets,
  drainTargets,
  formatCold,
  formatDrain,
  formatOutage,
  formatPubsub,
  formatTargets,
  outageTargets,
  pubsubTargets,
  type Target,
} from './report.ts'
import type { Subject } from './subject.ts'

/**
 * `npm run bench [-- --smoke] [--only drain|pubsub|outage|baseline|cold]`: the relay and the script that everybody writes, in one run; the relay in
 * an outage of SQS; cold starts of the bundles. Exits with 1
 * when the relay lost something or sent it out of order; what is slower than its target is said and is no failure, since machines
 * differ. All options: docs/benchmarks.md.
 */

/** Undefined when help was asked for, or the arguments are wrong; either was said. */
function readOptions(): BenchOptions | undefined {
  try {
    const options = readArguments(process.argv.slice(2))
    if (options === undefined) console.log(HELP)
    return options
  } catch (error) {
    console.error(
      `bench: ${error instanceof Error ? error.message : String(error)}\nnpm run bench -- --help says what there is.`,
    )
    process.exitCode = 2
    return undefined
  }
}

const options = readOptions()
if (options === undefined) process.exit()
const { smoke, only, counts, rates, delays, seconds } = options
const subjects: readonly Subject[] = only === 'baseline' ? ['baseline'] : ['relay', 'baseline']

const shutdown = createShutdown(process)
const { signal } = shutdown
const faults: string[] = []
const targets: Target[] = []

function check(name: string, { missing, disorder }: Report): void {
  if (missing !== 0) faults.push(`${name}: ${missing} missing`)
  if (disorder !== 0) faults.push(`${name}: ${disorder} out of order`)
}

async function drain(): Promise<void> {
  const results: DrainResult[] = []
  for (const subject of subjects) results.push(await measureDrain(subject, counts[subject], signal))
  // The baseline keeps no order: that is no fault of the bench.
  for (const { subject, report } of results) if (subject === 'relay') check('drain', report)
  console.log(`\n${formatDrain(results)}`)
  targets.push(...drainTargets(results))
}

async function pubsub(): Promise<void> {
  const results: PubsubResult[] = []
  for (const delayMs of delays) {
    for (const rate of rates) {
      for (const subject of subjects) results.push(await measurePubsub(subject, rate, delayMs, seconds, signal))
    }
  }
  for (const { subject, rate, delayMs, report } of results)
    if (subject === 'relay') check(`pubsub ${rate}/s, ${delayMs} ms`, report)
  console.log(`\n${formatPubsub(results)}`)
  targets.push(...pubsubTargets(results))
}

async function outage(): Promise<void> {
  const result = await measureOutage(smoke ? 2 : 60, 2_660, signal)
  check('outage', result.report)
  console.log(`\n${formatOutage(result)}`)
  targets.push(...outageTargets(result))
}

async function cold(): Promise<void> {
  const results = await measureColdStarts(smoke ? 3 : 21, signal)
  console.log(`\n${formatCold(results)}`)
  targets.push(...coldTargets(results))
}

try {
  console.log(
    `${availableParallelism()} processors, Node ${process.versions.node}; what counts is the ratio within one run`,
  )
  if (only === undefined || only === 'drain' || only === 'baseline') await drain()
  if (only === undefined || only === 'pubsub' || only === 'baseline') await pubsub()
  if (only === undefined || only === 'outage') await outage()
  if (only === undefined || only === 'cold') await cold()
  // A smoke run is too short to say how fast anything is.
  if (!smoke && targets.length > 0) console.log(`\n${formatTargets(targets)}`)
  for (const fault of faults) console.error(`FAULT ${fault}`)
  if (faults.length > 0) process.exitCode = 1
  else if (only !== 'baseline' && only !== 'cold') console.log('\nnothing missing, nothing out of order')
} catch (error) {
  if (!signal.aborted) throw error
  process.exitCode = 130
} finally {
  shutdown.dispose()
}
