import fc from 'fast-check'
import { createHandling } from './handle.ts'
import { judge, readMessages } from './judge.ts'
import { formatSample, samples, type Sample } from './samples.ts'
import type { FuzzStreet } from './street.ts'

export type FuzzOptions = {
  /** The minimum number of samples. */
  readonly count: number
  readonly seed: number
  /** The maximum number of samples in one batch. Default 500. */
  readonly batch?: number
  /** Stops the run between two rounds. */
  readonly signal?: AbortSignal
}

export type FuzzResult = {
  readonly samples: number
  readonly batches: number
  readonly other: number
  readonly parked: number
  readonly refused: number
}

/** The time limit (ms) for shrinking a failing batch. */
const SHRINK_MS = 60_000

/**
 * Sends random and mutated packets through the relay into the functions. Each packet must arrive with its exact bytes, and no process may
 * end.
 *
 * @throws Error with the seed, the path and the smallest batch that fails
 */
export async function fuzz(
  street: FuzzStreet,
  { count, seed, batch = 500, signal = new AbortController().signal }: FuzzOptions,
): Promise<FuzzResult> {
  const handle = await createHandling(street.store)
  const result = { samples: 0, batches: 0, other: 0, parked: 0, refused: 0 }
  const tryBatch = async (batchOf: readonly Sample[]) => {
    const carried = await street.carry(batchOf)
    const handled = await handle(carried.messages)
    const problems = await judge(batchOf, carried, handled, street.isEnd)
    if (problems.length > 0) throw new Error(`${problems.length} problems:\n${problems.slice(0, 10).join('\n')}`)
    result.samples += batchOf.length
    result.batches++
    result.other += (await readMessages(carried.messages)).filter(({ reason }) => reason !== undefined).length - 1
    result.parked += carried.parked.length
    result.refused += handled.parked.size
  }
  // Without bias, generation does not favour short batches. Short ones result only from shrinking.
  const batches = fc.noBias(fc.array(samples, { minLength: 1, maxLength: batch, size: 'max' }))
  for (let round = 0; result.samples < count && !signal.aborted; round++) {
    const report = await fc.check(fc.asyncProperty(batches, tryBatch), {
      seed: seed + round,
      numRuns: 4,
      interruptAfterTimeLimit: SHRINK_MS,
    })
    if (report.failed && report.counterexample !== null) {
      const [smallest] = report.counterexample
      const why = report.errorInstance instanceof Error ? report.errorInstance.message : String(report.errorInstance)
      throw new Error(
        `seed ${report.seed}, path ${report.counterexamplePath}: ${why}\nthe smallest batch that fails:\n${smallest.slice(0, 20).map(formatSample).join('\n')}`,
      )
    }
  }
  await readAll(street)
  return result
}

/** Reads everything that the fuzz run has written. Any error of the read model fails the run. */
async function readAll({ store: { read } }: FuzzStreet): Promise<void> {
  await Promise.all([read.agents(), read.campaigns(), read.cdrs(), read.other(), read.dialers()])
  for (const { ref } of (await read.agents({ limit: 100 })).items) await read.agent(ref)
  for (const { ref } of (await read.campaigns({ limit: 100 })).items) await read.campaign(ref)
}
