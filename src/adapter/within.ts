import { AdapterError } from './errors.ts'

// A timer of more milliseconds than this fires at once.
const LONGEST_TIMER_MS = 0x7fff_ffff

/**
 * The result of `work`, unless it takes longer than this. The work itself is not stopped: it has to be told, and what it does
 * later is ignored.
 *
 * @param limitMs may be `Infinity`
 * @throws AdapterError `adapter.step.time_limit`; `adapter.step.no_time` when nothing was left to begin with and the work was not started
 */
export async function within<T>(limitMs: number, work: () => Promise<T>): Promise<T> {
  if (limitMs <= 0) throw new AdapterError('adapter.step.no_time', 'the function had no time left for this step')
  if (limitMs > LONGEST_TIMER_MS) return work()
  let timer: ReturnType<typeof setTimeout> | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new AdapterError('adapter.step.time_limit', `no answer within ${(limitMs / 1000).toFixed(1)} s`)),
      limitMs,
    )
  })
  try {
    return await Promise.race([work(), limit])
  } finally {
    clearTimeout(timer)
  }
}
