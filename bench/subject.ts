import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sleep } from '../src/runtime/index.ts'
import { firstMatch, startNode, type Running } from './processes.ts'

/** What is measured: the relay, or the script that everybody writes. */
export type Subject = 'relay' | 'baseline'

/** Only the relay can do both at once. */
export type Mode = 'list' | 'pubsub' | 'both'

export const LIST = 'enigma:notifications:campaigns'

/** Starts what is measured and resolves when it waits for notifications. */
export function startSubject(subject: Subject, mode: Mode, redisUrl: string, sqsEndpoint: string): Promise<Running> {
  return subject === 'relay' ? startRelay(mode, redisUrl, sqsEndpoint) : startBaseline(mode, redisUrl, sqsEndpoint)
}

async function startBaseline(mode: string, redisUrl: string, sqsEndpoint: string): Promise<Running> {
  const running = startNode('./baseline.ts', [], { REDIS_URL: redisUrl, MODE: mode, AWS_ENDPOINT_URL_SQS: sqsEndpoint })
  await firstMatch(running, /ready/)
  return running
}

/** The relay as a user runs it, with a journal folder of its own. */
async function startRelay(mode: Mode, redisUrl: string, sqsEndpoint: string): Promise<Running> {
  const dataDir = await mkdtemp(join(tmpdir(), 'enigma-bench-'))
  const running = startNode('../src/cli/main.ts', ['relay'], {
    ENIGMA_SOURCES: `main=${redisUrl}`,
    ENIGMA_LISTS: mode === 'pubsub' ? 'none' : LIST,
    ENIGMA_DATA_DIR: dataDir,
    ENIGMA_RELAY_ID: 'bench',
    ENIGMA_HTTP: '127.0.0.1:0',
    AWS_ENDPOINT_URL_SQS: sqsEndpoint,
  })
  const stop = async () => {
    await running.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
  try {
    const address = await firstMatch(running, /http:\/\/127\.0\.0\.1:\d+/)
    const until = performance.now() + 10_000
    while (!(await fetch(`${address}/readyz`)).ok) {
      if (performance.now() > until) throw new Error('the relay is not ready after 10 s')
      await sleep(50)
    }
  } catch (error) {
    await stop()
    throw error
  }
  return { ...running, stop }
}
