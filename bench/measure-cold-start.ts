import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { bundleFunctions, FUNCTIONS_FOLDER } from '../infra/build/bundle-functions.ts'
import { startParameterStore } from '../src/local/local-aws.ts'
import { startRedisServer } from '../src/local/servers.ts'
import { startUpstashProxy } from '../src/local/upstash-proxy.ts'
import { formatEvent, formatPacket, formatSequence } from '../src/protocol/index.ts'
import { withReleasers } from '../src/runtime/index.ts'
import { median } from './results.ts'
import { readStackRoutes } from '../infra/stack/stack-routes.ts'

/** Medians (ms) of one bundle. `moreMs` is the sum of import and first invocation, minus that of an empty handler. */
export type ColdStart = {
  readonly name: string
  readonly kilobytes: number
  readonly importMs: number
  readonly invokeMs: number
  readonly moreMs: number
}

const run = promisify(execFile)
const CHILD = fileURLToPath(new URL('cold-child.js', import.meta.url))
const EMPTY = 'empty handler'

const notification = (type: string, subType: string, payload: unknown) =>
  formatEvent({
    id: `main/p/${Date.now()}/0`,
    source: '/enigma/main',
    type: `enigma.${type}.${subType}`,
    subject: '1002',
    time: new Date().toISOString(),
    datacontenttype: 'application/json',
    data: formatPacket({ type: subType, payload }),
    transport: 'pubsub',
    channel: 'enigma:notifications:x:1002',
    sequence: formatSequence(Date.now(), 0),
  })

const sqsEvent = (queue: string, body: string) =>
  JSON.stringify({
    Records: [
      {
        messageId: 'm',
        receiptHandle: 'r',
        body,
        messageAttributes: {},
        attributes: { ApproximateReceiveCount: '1', MessageGroupId: '1' },
        eventSourceARN: `arn:aws:sqs:us-east-1:000000000000:enigma-${queue}.fifo`,
      },
    ],
  })

const httpEvent = (path: string) =>
  JSON.stringify({
    version: '2.0',
    rawPath: path,
    rawQueryString: '',
    headers: { host: 'example', authorization: 'Bearer bench-token-of-thirty-two-characters' },
    requestContext: { domainName: 'example', http: { method: 'GET', path }, stage: '$default' },
    isBase64Encoded: false,
  })

/**
 * The bundles, and the first event of each. To handle it, a bundle reads its secrets from Parameter Store, and writes to the read model or
 * reads from it.
 */
const EVENTS: Readonly<Record<string, () => string>> = {
  'agents-call': () => sqsEvent('agents-call', notification('agents', 'call', { ref: '1002', call_ref: '7' })),
  'campaigns-cdr': () =>
    sqsEvent(
      'campaigns-cdr',
      notification('campaigns', 'cdr', { call_ref: '7', dialed_at: Math.floor(Date.now() / 1000) }),
    ),
  api: () => httpEvent('/agents'),
}

/** Starts each bundle `rounds` times, each time in a new process, in turn with an empty handler. */
export async function measureColdStarts(rounds: number, signal: AbortSignal): Promise<ColdStart[]> {
  return withReleasers(async (release) => {
    const metafile = await bundleFunctions(await readStackRoutes())
    const folder = await mkdtemp(join(tmpdir(), 'enigma-cold-'))
    release(() => rm(folder, { recursive: true, force: true }))
    const empty = join(folder, 'empty.mjs')
    await writeFile(empty, 'export const handler = async () => ({ batchItemFailures: [] })')
    const redis = await startRedisServer()
    release(() => redis.stop())
    const upstash = await startUpstashProxy({ redisUrl: redis.url, token: 'bench-upstash' })
    release(() => upstash.stop())
    const parameters = await startParameterStore({
      '/b/url': upstash.url,
      '/b/token': 'bench-upstash',
      '/b/api': 'bench-token-of-thirty-two-characters',
    })
    release(() => parameters.stop())
    const env = {
      NODE_OPTIONS: '--enable-source-maps',
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'bench',
      AWS_SECRET_ACCESS_KEY: 'bench',
      AWS_ENDPOINT_URL_SSM: parameters.url,
      UPSTASH_REDIS_REST_URL_PARAMETER: '/b/url',
      UPSTASH_REDIS_REST_TOKEN_PARAMETER: '/b/token',
      API_TOKEN_PARAMETER: '/b/api',
    }
    const start = async (file: string, event: string): Promise<{ importMs: number; invokeMs: number }> => {
      const { stdout } = await run(process.execPath, [CHILD, pathToFileURL(resolve(file)).href, event], { env, signal })
      const { importMs, invokeMs, answer } = JSON.parse(stdout) as {
        importMs: number
        invokeMs: number
        answer: { batchItemFailures?: unknown[]; statusCode?: number }
      }
      // A handler that fails is fast, so its times must not count.
      if ((answer.batchItemFailures?.length ?? 0) > 0 || (answer.statusCode ?? 200) !== 200)
        throw new Error(`${file} has failed: ${stdout}`)
      return { importMs, invokeMs }
    }
    const samples = new Map<string, { importMs: number; invokeMs: number }[]>([
      [EMPTY, []],
      ...Object.keys(EVENTS).map((name): [string, []] => [name, []]),
    ])
    for (let round = 0; round < rounds; round++) {
      samples.get(EMPTY)?.push(await start(empty, sqsEvent('x', '{}')))
      for (const [name, event] of Object.entries(EVENTS))
        samples.get(name)?.push(await start(`${FUNCTIONS_FOLDER}/${name}/index.mjs`, event()))
    }
    const medians = [...samples].map(([name, all]) => ({
      name,
      importMs: median(all.map((one) => one.importMs)),
      invokeMs: median(all.map((one) => one.invokeMs)),
      sum: median(all.map((one) => one.importMs + one.invokeMs)),
    }))
    const base = medians[0]?.sum ?? 0
    return medians.map(({ name, importMs, invokeMs, sum }) => ({
      name,
      importMs,
      invokeMs,
      moreMs: sum - base,
      kilobytes: (metafile.outputs[`${FUNCTIONS_FOLDER}/${name}/index.mjs`]?.bytes ?? 0) / 1000,
    }))
  })
}
