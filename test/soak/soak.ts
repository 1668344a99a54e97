import { availableParallelism } from 'node:os'
import { createShutdown, withReleasers } from '../../src/runtime/index.ts'
import { fuzz } from '../fuzz/fuzz.ts'
import { startFuzzStreet } from '../fuzz/street.ts'
import { HELP, readArguments, type SoakOptions } from './arguments.ts'
import { makePlan, type Plan } from './plan.ts'
import { runSoak } from './run.ts'

/* `npm run soak`: see `HELP` in arguments.ts, and docs/soak.md for what it proves. */

const say = (line: string) => console.log(line)

function showPlan({ faults, load, onHttp }: Plan): void {
  for (const { kind, atMs, lastsMs } of faults)
    say(`${(atMs / 1_000).toFixed(1).padStart(8)} s  ${kind}, ${lastsMs} ms`)
  say(`${faults.length} faults, ${load.length} steps of load; on HTTP: ${[onHttp].flat().join(', ') || 'nothing'}`)
}

async function run(options: SoakOptions, plan: Plan, signal: AbortSignal): Promise<boolean> {
  let isWell = true
  if (options.minutes > 0) {
    const { broken, lines } = await withReleasers((release) => runSoak(options, plan, release, signal, say))
    say(`\n${lines.join('\n')}`)
    isWell = broken === 0 && !signal.aborted
  }
  if (options.fuzz > 0 && !signal.aborted) {
    try {
      const { samples, other, refused, parked } = await withReleasers(async (release) =>
        fuzz(await startFuzzStreet(release), { count: options.fuzz, seed: options.seed, signal }),
      )
      say(
        `fuzz: ${samples} packets, ${other} to other, ${refused} refused by their function, ${parked} parked: none missing, none changed`,
      )
    } catch (error) {
      say(`BROKEN fuzz\n${error instanceof Error ? error.message : String(error)}`)
      isWell = false
    }
  }
  return isWell
}

/** Reads the arguments. Returns undefined after it has printed an error. */
function readOptions(): SoakOptions | 'help' | undefined {
  try {
    return readArguments(process.argv.slice(2)) ?? 'help'
  } catch (error) {
    console.error(
      `soak: ${error instanceof Error ? error.message : String(error)}\nnpm run soak -- --help lists the options.`,
    )
    process.exitCode = 2
    return undefined
  }
}

const options = readOptions()
if (options === 'help') say(HELP)
else if (options !== undefined) {
  const plan = makePlan(options)
  if (options.plan) showPlan(plan)
  else {
    const shutdown = createShutdown(process)
    try {
      say(
        `seed ${options.seed}, target ${options.target}: ${plan.faults.length} faults in ${options.minutes} minutes, ${availableParallelism()} processors, Node ${process.versions.node}`,
      )
      const isWell = await run(options, plan, shutdown.signal)
      say(
        shutdown.signal.aborted
          ? 'ended early'
          : isWell
            ? '\nno guarantee was broken'
            : `\nA PROMISE WAS BROKEN: npm run soak -- --minutes ${options.minutes} --seed ${options.seed} --target ${options.target} has the same plan`,
      )
      process.exitCode = shutdown.signal.aborted ? 130 : isWell ? 0 : 1
    } finally {
      shutdown.dispose()
    }
  }
}
