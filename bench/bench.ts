import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { measureDrain, type DrainResult } from './drain.ts'
import { measurePubsub, type PubsubResult } from './pubsub.ts'
import { formatTable } from './table.ts'

/**
 * `npm run bench [-- --smoke] [--only drain|pubsub]`: the relay and the script that everybody writes, in one run. Exits with 1 when
 * the relay lost something or sent it out of order; what is slower than its target is said and is no failure, since machines differ.
 */

const { values } = parseArgs({ options: { smoke: { type: 'boolean', default: false }, only: { type: 'string' } } })
const smoke = values.smoke
const faults: string[] = []
const targets: [what: string, got: string, ok: boolean][] = []
const round = (value: number, digits = 0) => value.toFixed(digits)
const thousands = (value: number) => Math.round(value).toLocaleString('en-US')

function check(name: string, { missing, disorder }: { missing: number; disorder: number }): void {
  if (missing !== 0) faults.push(`${name}: ${missing} missing`)
  if (disorder !== 0) faults.push(`${name}: ${disorder} out of order`)
}

async function drain(): Promise<void> {
  const relay = await measureDrain('relay', smoke ? 20_000 : 200_000)
  const baseline = await measureDrain('baseline', smoke ? 1_000 : 20_000)
  check('drain', relay.report)
  const row = (r: DrainResult) => [
    r.what, thousands(r.count), thousands(r.perSecond), round(r.cpuUs, 1), round(r.requestsPerNotification, 4), round(r.peakRssMb),
    String(r.report.missing), String(r.report.copies), String(r.report.disorder),
  ]
  console.log('\nA full list into SQS that answers at once')
  console.log(formatTable(['', 'CDRs', 'per second', 'CPU µs each', 'requests each', 'peak RSS MB', 'missing', 'copies', 'disorder'], [relay, baseline].map(row)))
  targets.push(
    ['drain: 30,000/s or more', thousands(relay.perSecond), relay.perSecond >= 30_000],
    ['drain: 40 µs CPU or less', round(relay.cpuUs, 1), relay.cpuUs <= 40],
    ['drain: ten times the rate of the baseline', `${round(relay.perSecond / baseline.perSecond, 1)} times`, relay.perSecond >= 10 * baseline.perSecond],
    ['drain: a tenth of its CPU', `1/${round(baseline.cpuUs / relay.cpuUs, 1)}`, relay.cpuUs * 10 <= baseline.cpuUs],
    ['drain: 200 MB or less', round(relay.peakRssMb), relay.peakRssMb <= 200],
  )
}

async function pubsub(): Promise<void> {
  const results: PubsubResult[] = []
  for (const delayMs of smoke ? [20] : [0, 20]) {
    for (const rate of smoke ? [500] : [20, 500, 2_660]) {
      for (const what of ['relay', 'baseline'] as const) {
        const result = await measurePubsub(what, rate, delayMs, smoke ? 2 : 10)
        if (what === 'relay') check(`pubsub ${rate}/s, ${delayMs} ms`, result.report)
        results.push(result)
      }
    }
  }
  const row = (r: PubsubResult) => [
    r.what, thousands(r.rate), r.delayMs === 0 ? 'at once' : `0–${r.delayMs} ms`, round(r.report.p50Ms, 1), round(r.report.p99Ms, 1), String(r.report.disorder),
    thousands(r.requestsPerMillion), round(r.cpuUs), round(r.peakRssMb), String(r.report.missing),
  ]
  console.log('\nPubSub into SQS, from PUBLISH to accepted')
  console.log(formatTable(['', 'per second', 'SQS answers', 'p50 ms', 'p99 ms', 'disorder', 'requests per million', 'CPU µs each', 'peak RSS MB', 'missing'], results.map(row)))
  const busy = results.find((r) => r.what === 'relay' && r.rate === 2_660 && r.delayMs === 20)
  if (busy !== undefined) {
    targets.push(
      ['pubsub 2,660/s, 0–20 ms: p50 14 ms or less', round(busy.report.p50Ms, 1), busy.report.p50Ms <= 14],
      ['pubsub 2,660/s, 0–20 ms: 200,000 requests per million or fewer', thousands(busy.requestsPerMillion), busy.requestsPerMillion <= 200_000],
    )
  }
  const peak = Math.max(...results.filter((r) => r.what === 'relay').map((r) => r.peakRssMb))
  targets.push(['pubsub: 200 MB or less', round(peak), peak <= 200])
}

console.log(`${availableParallelism()} processors, Node ${process.versions.node}; ratios within one run are what counts`)
if (values.only === undefined || values.only === 'drain') await drain()
if (values.only === undefined || values.only === 'pubsub') await pubsub()
console.log('')
if (!smoke) console.log(formatTable(['target', 'measured', ''], targets.map(([what, got, ok]) => [what, got, ok ? 'ok' : 'missed'])))
for (const fault of faults) console.error(`FAULT ${fault}`)
if (faults.length > 0) process.exitCode = 1
else console.log('nothing missing, nothing out of order')
