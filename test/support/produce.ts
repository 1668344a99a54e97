import { createProducer } from '../../src/producer/index.ts'
import { CAMPAIGNS, cdrOf } from './load.ts'

/**
 * A process that pushes the CDRs `from` to `to` as a dialler does, several at once, with a backup in `folder`. Prints the number of each CDR
 * once Redis or the backup has it. Prints `drained` when the backup is empty, then exits.
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
  // At most 2,000 a second, the rate of a large dialler.
  await new Promise((resolve) => setTimeout(resolve, 10))
}
await producer.backup?.drained()
process.stdout.write('drained\n')
await producer.close()
