import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundleRelay, RELAY_FILE, root } from '../infra/build/bundle.ts'
import { sleep } from '../src/runtime/index.ts'
import { firstMatch, startNode, startProgram, type Running } from './processes.ts'
import { readStackRoutes } from '../infra/stack/stack-routes.ts'

/** The transport that a subject consumes. Only the relay can consume both at once. */
export type Mode = 'list' | 'pubsub' | 'both'

/** A program that the bench measures. */
export type Subject = {
  readonly kind: 'relay' | 'bento' | 'floor' | 'baseline'
  /** The name in tables. The first relay is `relay`. */
  readonly name: string
  /** Starts the program. Resolves when it waits for notifications. */
  readonly start: (mode: Mode, redisUrl: string, sqsEndpoint: string) => Promise<Running>
}

/** A relay in a single file. */
export type Relay = Subject & { readonly file: string }

export const LIST = 'enigma:notifications:campaigns'

export const BASELINE: Subject = {
  kind: 'baseline',
  name: 'baseline',
  start: (mode, redisUrl, sqsEndpoint) => startScript('./baseline.ts', mode, redisUrl, sqsEndpoint),
}

export const FLOOR: Subject = {
  kind: 'floor',
  name: 'floor',
  start: (mode, redisUrl, sqsEndpoint) => startScript('./floor.ts', mode, redisUrl, sqsEndpoint),
}

/** Returns a subject for each file. Without files, builds the single file from this clone. */
export async function createRelays(files: readonly string[]): Promise<Relay[]> {
  if (files.length === 0) await bundleRelay(await readStackRoutes())
  const paths = files.length === 0 ? [join(root, RELAY_FILE)] : files.map((file) => resolve(file))
  return paths.map((file, index) => ({
    kind: 'relay',
    name: index === 0 ? 'relay' : basename(file),
    start: (mode, redisUrl, sqsEndpoint) => startRelay(file, mode, redisUrl, { AWS_ENDPOINT_URL_SQS: sqsEndpoint }),
    file,
  }))
}

/** Returns the same relay with an HTTP target instead of SQS. */
export const overHttp = ({ name, file }: Relay): Subject => ({
  kind: 'relay',
  name: `${name}, HTTP`,
  start: (mode, redisUrl, endpoint) =>
    startRelay(file, mode, redisUrl, { ENIGMA_TARGET: `${endpoint}/enigma`, ENIGMA_TARGET_SECRET: SECRET }),
})

/** Any valid secret: the stand-in checks no signatures. */
const SECRET = `whsec_${Buffer.alloc(32).toString('base64')}`

/** @param binary the user's own https://github.com/warpstreamlabs/bento */
export const createBento = (binary: string): Subject => ({
  kind: 'bento',
  name: 'Bento',
  start: async (mode, redisUrl, sqsEndpoint) => {
    const config = fileURLToPath(new URL(`bento-${mode}.yaml`, import.meta.url))
    const running = startProgram(resolve(binary), ['-c', config], {
      REDIS_URL: redisUrl,
      LIST,
      QUEUE_URL: 'http://127.0.0.1/000000000000/bench',
      AWS_ENDPOINT_URL_SQS: sqsEndpoint,
    })
    // Bento logs this for its input and for its output, in either order.
    await firstMatch(running, /is now active[^]*is now active/)
    return running
  },
})

async function startScript(file: string, mode: Mode, redisUrl: string, sqsEndpoint: string): Promise<Running> {
  const running = startNode(file, { REDIS_URL: redisUrl, MODE: mode, AWS_ENDPOINT_URL_SQS: sqsEndpoint })
  await firstMatch(running, /ready/)
  return running
}

/** Starts the relay as in production (infra/relay), with a new journal folder. */
async function startRelay(
  file: string,
  mode: Mode,
  redisUrl: string,
  target: Record<string, string>,
): Promise<Running> {
  const dataDir = await mkdtemp(join(tmpdir(), 'enigma-bench-'))
  const running = startProgram(process.execPath, [file, 'relay'], {
    NODE_ENV: 'production',
    ENIGMA_SOURCES: `main=${redisUrl}`,
    ENIGMA_LISTS: mode === 'pubsub' ? 'none' : LIST,
    ENIGMA_DATA_DIR: dataDir,
    ENIGMA_RELAY_ID: 'bench',
    // Without lingering, the figures show the relay's own latency.
    ENIGMA_LINGER: 'none',
    ENIGMA_COMMANDS: 'none',
    ENIGMA_HTTP: '127.0.0.1:0',
    ...target,
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
