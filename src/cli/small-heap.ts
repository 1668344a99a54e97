import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * Keeps the process small: V8 lets a heap with much short-lived text grow to several times of what lives in it. Measured on a
 * drain of 200,000 CDRs: 141 to 151 MB at the peak and not 360, for about a tenth of the CPU; after an outage of SQS 191 and not 225. To be
 * called before the heap has grown.
 */
export function keepHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
  setFlagsFromString('--heap-growing-percent=20')
}

/**
 * Collects what only the start needed. An idle process allocates too little for V8 to do so by itself. Measured on an idle relay: 95 MB and
 * not 119, for a pause of some 50 ms, to be made before anything is taken or heard.
 */
export function collectStart(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options: Record<string, string>) => void
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}
