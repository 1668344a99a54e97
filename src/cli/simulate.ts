import { createSimulator } from '../local/simulator/index.ts'
import { createProducer } from '../producer/index.ts'
import { createShutdown, sleep, type Code } from '../runtime/index.ts'
import type { SimulateArguments } from './program.ts'

const SAY_MS = 1_000

const tell = ({ code }: { readonly code: Code }, sentence: string) =>
  void process.stdout.write(`${sentence} (${code})\n`)
const BACKUP_LOG = { info: tell, warn: tell, error: tell }

/** `enigma-relay simulate`: plays until SIGINT or SIGTERM, with a line a second. @throws ProducerError when Redis takes nothing. */
export async function runSimulate({ url, backup, ...callCentre }: SimulateArguments): Promise<void> {
  const producer = createProducer({
    url,
    ...(backup === undefined ? {} : { backup: { folder: backup, log: BACKUP_LOG } }),
  })
  const simulator = createSimulator({ producer, ...callCentre })
  const shutdown = createShutdown(process)
  const ended = new AbortController()
  const say = async () => {
    for (; !ended.signal.aborted; await sleep(SAY_MS, ended.signal)) {
      const { published, pushed, lost, kept } = simulator.counters
      if (published + pushed === 0) continue
      const troubles = lost + kept === 0 ? '' : `, lost ${lost}, kept in the backup folder ${kept}`
      process.stdout.write(
        `${new Date().toTimeString().slice(0, 8)}  published ${published}, pushed ${pushed}${troubles}\n`,
      )
    }
  }
  const { agents, speed, seed } = callCentre
  process.stdout.write(`simulating ${agents} agents at ${speed} times real time, seed ${seed}; press Ctrl-C to stop\n`)
  const saying = say()
  try {
    await simulator.run(shutdown.signal)
  } finally {
    ended.abort()
    await saying
    await producer.close()
    shutdown.dispose()
  }
}
