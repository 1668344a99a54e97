import { availableParallelism } from 'node:os'
import { createShutdown, withReleasers } from '../src/runtime/index.ts'
import { HELP, readArguments, type BenchOptions } from './arguments.ts'
import { measureCapacity } from './measure-capacity.ts'
import { measureColdStarts } from './measure-cold-start.ts'
import { measureConsole } from './measure-console.ts'
import { measureDrain } from './measure-drain.ts'
import { measureIdle } from './measure-idle.ts'
import { measureKills } from './measure-kills.ts'
import { measureOutage } from './measure-outage.ts'
import { measurePrice } from './measure-price.ts'
import { measurePubsub, type Load } from './measure-pubsub.ts'
import { measureReplay } from './measure-replay.ts'
import {
  formatCapacity,
  formatCold,
  formatConsole,
  formatDrain,
  formatHttp,
  formatIdle,
  formatKills,
  formatOutage,
  formatPrice,
  formatPubsub,
  formatReplay,
  formatWall,
} from './report.ts'
import { inTurn, noResults, type PubsubResult } from './results.ts'
import { BASELINE, createBento, createRelays, FLOOR, overHttp, type Subject } from './subject.ts'
import { formatVerdicts, needsReference, REFERENCE } from './verdicts.ts'
import { measureWall } from './measure-wall.ts'

/*
 * Runs `npm run bench`: measures the relay's single file against its targets, and compares it with Bento, the floor and the baseline script.
 * Exits with 1 if the relay lost a notification or sent one out of order. A missed target is printed but is not a failure, because machines differ.
 * All options: docs/benchmarks.md.
 */

/** Reads the arguments. Returns undefined after it has printed the help or an error. */
function readOptions(): BenchOptions | undefined {
  try {
    const options = readArguments(process.argv.slice(2))
    if (options === undefined) console.log(HELP)
    return options
  } catch (error) {
    console.error(
      `bench: ${error instanceof Error ? error.message : String(error)}\nnpm run bench -- --help lists the options.`,
    )
    process.exitCode = 2
    return undefined
  }
}

const options = readOptions()
if (options === undefined) process.exit()
const { smoke, only, counts, loads, rounds, seconds, agents, minutes, cdrs } = options

const shutdown = createShutdown(process)
const { signal } = shutdown
const results = noResults()

const isOfFunctions = only !== undefined && ['cold', 'price', 'capacity', 'wall', 'replay', 'console'].includes(only)
const relays = only === 'baseline' || isOfFunctions ? [] : await createRelays(options.relays)
const peers = [...relays, ...(options.bento === undefined || only === 'baseline' ? [] : [createBento(options.bento)])]
const floors = only === 'baseline' ? [] : [FLOOR]

const isWanted = (...parts: readonly NonNullable<typeof only>[]) => only === undefined || parts.includes(only)

async function drain(): Promise<void> {
  const measured = await inTurn([...peers, BASELINE], rounds, (subject) =>
    measureDrain(subject, subject.kind === 'baseline' ? counts.baseline : counts.relay, signal),
  )
  results.drain.push(...measured)
  console.log(`\n${formatDrain(measured)}`)
}

async function pubsub(all: readonly Load[], subjects: readonly Subject[]): Promise<void> {
  const measured: PubsubResult[] = []
  for (const load of all) {
    const ofLoad = await inTurn(subjects, rounds, (subject) => measurePubsub(subject, load, seconds, signal))
    measured.push(...ofLoad.map((result) => ({ ...result, load })))
  }
  results.pubsub.push(...measured)
  console.log(`\n${formatPubsub(measured)}`)
}

async function idle(): Promise<void> {
  // Subjects are measured at the same time, because idle ones do not affect each other.
  const measure = async (subject: Subject) => ({
    subject,
    figures: await measureIdle(subject, smoke ? 1 : 20, signal),
  })
  results.idle.push(...(await Promise.all([...peers, FLOOR].map(measure))))
  console.log(`\n${formatIdle(results.idle)}`)
}

async function outage(): Promise<void> {
  results.outage.push(
    ...(await inTurn(relays, 1, (relay) => measureOutage(relay, smoke ? 2 : 60, REFERENCE.rate, signal))),
  )
  console.log(`\n${formatOutage(results.outage)}`)
}

async function kill(): Promise<void> {
  const measured = await inTurn([...peers, BASELINE], 1, (subject) =>
    measureKills(subject, subject.kind === 'baseline' ? counts.baseline : counts.relay, signal),
  )
  results.kill.push(...measured)
  console.log(`\n${formatKills(measured)}`)
}

async function cold(): Promise<void> {
  results.cold.push(...(await measureColdStarts(smoke ? 3 : 21, signal)))
  console.log(`\n${formatCold(results.cold)}`)
}

async function price(): Promise<void> {
  const measured = await withReleasers((release) => measurePrice(release, signal, { agents, seconds: seconds * 6 }))
  results.price.push(measured)
  console.log(`\n${formatPrice(measured)}`)
}

async function capacity(): Promise<void> {
  results.capacity.push(await withReleasers((release) => measureCapacity(release, signal, { cdrs, seconds })))
  console.log(`\n${results.capacity.map(formatCapacity).join('\n')}`)
}

async function showConsole(): Promise<void> {
  const measured = await withReleasers((release) => measureConsole(release, signal, { agents, minutes }))
  results.console.push(measured)
  console.log(`\n${formatConsole(measured)}`)
}

async function wall(): Promise<void> {
  const size = smoke ? { agents: 100, cdrs: 500, reads: 6 } : { agents: 2_000, cdrs: 10_000, reads: 60 }
  results.wall.push(await withReleasers((release) => measureWall(release, signal, size)))
  console.log(`\n${results.wall.map(formatWall).join('\n')}`)
}

async function replay(): Promise<void> {
  const parked = smoke ? 300 : 10_000
  results.replay.push(await withReleasers((release) => measureReplay(release, signal, { parked })))
  console.log(`\n${results.replay.map(formatReplay).join('\n')}`)
}

/** Measures each relay with SQS and with an HTTP target, in turn. */
async function http(): Promise<void> {
  const both = relays.flatMap((relay) => [relay, overHttp(relay)])
  results.http.drain.push(...(await inTurn(both, rounds, (subject) => measureDrain(subject, counts.relay, signal))))
  const load = loads.find(({ rate }) => rate === REFERENCE.rate) ?? loads[0] ?? REFERENCE
  const measured = await inTurn(both, rounds, (subject) => measurePubsub(subject, load, seconds, signal))
  results.http.pubsub.push(...measured.map((result) => ({ ...result, load })))
  console.log(`\n${formatHttp(results.http)}`)
}

/** Finds notifications that the relay lost or sent out of order. Other subjects guarantee neither delivery nor order. */
function findFaults(): string[] {
  const named = [
    ...[...results.drain, ...results.http.drain].map((result) => ({ ...result, name: 'drain' })),
    ...[...results.pubsub, ...results.http.pubsub].map((result) => ({
      ...result,
      name: Object.values(result.load).join(' '),
    })),
    ...results.outage.map((result) => ({ ...result, name: 'outage' })),
    // After a kill, the relay sends the notifications of its claims again, so earlier ones may arrive after later ones. This is no fault.
    ...results.kill.map(({ subject, figures }) => ({ subject, figures: { ...figures, disorder: 0 }, name: 'kill' })),
  ]
  return named
    .filter(({ subject, figures }) => subject.kind === 'relay' && (figures.missing !== 0 || figures.disorder !== 0))
    .map(
      ({ subject, name, figures }) =>
        `FAULT ${subject.name}, ${name}: ${figures.missing} missing, ${figures.disorder} out of order`,
    )
}

try {
  console.log(
    `${availableParallelism()} processors, Node ${process.versions.node}; only ratios within one run are meaningful`,
  )
  if (isWanted('drain', 'baseline')) await drain()
  if (isWanted('pubsub', 'baseline')) await pubsub(loads, [...peers, ...floors, BASELINE])
  if (isWanted('calls')) await pubsub([{ ...REFERENCE, type: 'call' }], [...relays, FLOOR])
  if (isWanted('idle')) await idle()
  if (isWanted('outage')) await outage()
  // After each kill, the relay waits ten seconds until its previous lease expires: too long for a smoke run.
  if (only === 'kill' || (only === undefined && !smoke)) await kill()
  if (isWanted('cold')) await cold()
  // These parts run only by name. Most of them load the functions, which read their environment variables only once per process.
  if (only === 'price') await price()
  if (only === 'capacity') await capacity()
  if (only === 'console') await showConsole()
  if (only === 'wall') await wall()
  if (only === 'replay') await replay()
  if (only === 'http') await http()
  // A smoke run is too short to measure speed.
  if (!smoke && only !== 'baseline' && only !== 'kill' && only !== 'http') {
    if (needsReference(results)) await pubsub([REFERENCE], [FLOOR])
    console.log(`\n${formatVerdicts(results)}`)
  }
  const faults = findFaults()
  for (const fault of faults) console.error(fault)
  if (faults.length > 0) process.exitCode = 1
  else if (relays.length > 0) console.log('\nnothing missing, nothing out of order')
} catch (error) {
  if (!signal.aborted) throw error
  process.exitCode = 130
} finally {
  shutdown.dispose()
}
