import { createProducer } from '../../src/producer/index.ts'
import { CAMPAIGNS, cdrOf } from './load.ts'

/**
 * A dialler's process for the tests: pushes the CDRs `from` to `to`, several at once, with a backup in `folder`, and writes the number
 * of each on standard output when it is safe; then `drained`, and ends.
 */
const [url = '', folder = '', from = '0', to = '0'] = process.argv.slice(2)
const WIDTH = 20

const producer = createProducer({ url, timeoutMs: 1_000, backup: { folder, maxFileBytes: 100_000 } })
for (let n = Number(from); n < Number(to); n += WIDTH) {
  const batch = Array.from({ length: Math.min(WIDTH, Number(to) - n) }, (_, at) => n + at)
  await Promise.all(
    batch.map(async (one) => {
      await producer.push(CAMPAIGNS, cdrOf(one))
      process.stdout.write(`${one}\n`)
    }),
  )
  // Some 2,000 a second, as a large dialler.
  await new Promise((resolve) => setTimeout(resolve, 10))
}
await producer.backup?.drained()
process.stdout.write('drained\n')
await producer.close()
