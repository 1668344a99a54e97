import { SQSClient } from '@aws-sdk/client-sqs'
import { createApi } from '../src/api/index.ts'
import { readDeclarations } from '../src/lambda/declarations.ts'
import { apiOptions } from '../src/lambda/index.ts'
import { sqs as functionsSqs } from '../src/lambda/sqs-queues.ts'
import { createLambdaTrigger, toLambdaRecord, type LambdaHandler } from '../src/local/lambda/lambda-trigger.ts'
import { startSqsServer } from '../src/local/local-aws.ts'
import { loadFunctions } from '../src/local/street/street-functions.ts'
import { createRoutes, formatEvent, laneOf, type Route } from '../src/protocol/index.ts'
import { createQueues } from '../src/relay/targets/sqs/sqs-target.ts'
import { createLog, sleep, type Release } from '../src/runtime/index.ts'
import type { Replay } from '../src/store/index.ts'
import { countCommands, startReadModel, TOKEN } from './read-model.ts'
import { readCdr, toEvent } from './load.ts'

/** A replay of parked CDRs, from the request that starts it until the last of them is handled. */
export type ReplayFigures = {
  readonly messages: number
  /** The requested rate, in messages per second. */
  readonly rate: number
  readonly seconds: number
  /** The time (s) until the last message was sent. */
  readonly sentSeconds: number
  /** Requests of the replay to SQS: for the messages that it sends, and for its own steps. */
  readonly sends: number
  /** Requests with which Lambda receives and deletes messages for the function of CDRs and for the replay function. */
  readonly polls: number
  /** Commands of the read model as Upstash counts them, requests to it, and bytes of requests and replies. */
  readonly commands: number
  readonly requests: number
  readonly bytes: number
  /** Frequent commands, with their number per message, the most frequent first. */
  readonly byCommand: readonly (readonly [name: string, each: number])[]
}

const PREFIX = 'enigma-'
const ROUTE = 'campaigns-cdr'
const RATE = 1_000
const MESSAGES = 10
const PACK = 5
const AT_ONCE = 4

/** Makes the function of CDRs park `parked` notifications, then replays all of them at the maximum rate. */
export async function measureReplay(
  release: Release,
  signal: AbortSignal,
  { parked }: { readonly parked: number },
): Promise<ReplayFigures> {
  const { client, proxy } = await startReadModel(release, false)
  const server = await startSqsServer()
  release(() => server.stop())
  Object.assign(process.env, {
    UPSTASH_REDIS_REST_URL: proxy.url,
    UPSTASH_REDIS_REST_TOKEN: TOKEN,
    ENIGMA_QUEUE_PREFIX: PREFIX,
    API_TOKENS: `bench:operate:${TOKEN}`,
    AWS_ENDPOINT_URL_SQS: server.endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'bench',
    AWS_SECRET_ACCESS_KEY: 'bench',
  })
  const routes = createRoutes(await readDeclarations())
  const lambdaSqs = new SQSClient({ useQueueUrlAsEndpoint: false })
  release(() => lambdaSqs.destroy())
  const queues = await createQueues(lambdaSqs, PREFIX, routes)
  const root = new URL('../', import.meta.url)
  process.env['ENIGMA_FAIL'] = JSON.stringify([{ route: ROUTE, status: 422, share: 1 }])
  const failing = await loadFunctions(root, routes)
  delete process.env['ENIGMA_FAIL']
  const handlers = await loadFunctions(root, routes)
  const find = (name: string) => routes.all.find((route) => route.name === name) as Route
  const arnOf = (route: Route) => `arn:aws:sqs:us-east-1:000000000000:${PREFIX}${route.name}.fifo`

  const writeLine = process.stderr.write.bind(process.stderr)
  // Suppresses the log line for each parked notification.
  process.stderr.write = () => true
  try {
    const route = find(ROUTE)
    const handler = failing.get(route) as LambdaHandler
    const size = MESSAGES * PACK
    const first = Array.from({ length: Math.ceil(parked / size) }, (_, at) => at * size)
    const park = async () => {
      for (let from = first.shift(); from !== undefined; from = first.shift()) {
        await invoke(handler, route, arnOf(route), from, Math.min(size, parked - from))
        signal.throwIfAborted()
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, park))
  } finally {
    process.stderr.write = writeLine
  }

  const sends = countRequests((await functionsSqs()).client)
  const polls = countRequests(lambdaSqs)
  const [abort, log] = [new AbortController(), createLog('error')]
  const triggers = [find(ROUTE), find('relay-replay')].map((route) =>
    createLambdaTrigger({
      sqs: lambdaSqs,
      queueUrl: queues.find((queue) => queue.route.name === route.name)?.url as string,
      queueArn: arnOf(route),
      handler: handlers.get(route) as LambdaHandler,
      functionName: route.name,
      timeoutMs: route.timeoutSeconds * 1_000,
      log,
    }).run(abort.signal),
  )
  release(async () => {
    abort.abort()
    await Promise.all(triggers)
  })
  const api = createApi(await apiOptions())
  const ask = async (path: string, body?: object): Promise<Replay> => {
    const response = await api.request(path, {
      headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    })
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`)
    return (await response.json()) as Replay
  }
  await client.configResetStat()
  const before = { ...proxy.seen }
  const startMs = performance.now()
  let sentMs = startMs
  let asked = 0
  let job = await ask('/replays', { filter: { route: ROUTE }, rate: RATE })
  while (job.state === 'running') {
    await sleep(250, signal)
    job = await ask(`/replays/${job.id}?limit=1`)
    asked++
    const { waiting, sent } = job.counts
    if (waiting > 0 || sent === parked) sentMs = performance.now()
  }
  const endMs = performance.now()
  const info = await client.info('commandstats')
  if (job.counts.handled !== parked) throw new Error(`the replay ended with ${JSON.stringify(job.counts)}`)
  // The requests with which the bench followed the progress: each costs two commands, in two requests to the read model.
  const ofBench = 2 * asked
  return {
    messages: parked,
    rate: RATE,
    seconds: (endMs - startMs) / 1_000,
    sentSeconds: (sentMs - startMs) / 1_000,
    sends: sends.count,
    polls: polls.count,
    commands: countCommands(info) - ofBench,
    requests: proxy.seen.requests - before.requests - ofBench,
    bytes: proxy.seen.requestBytes - before.requestBytes + proxy.seen.replyBytes - before.replyBytes,
    byCommand: [...info.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)]
      .map(([, name = '', calls]) => [name, Number(calls) / parked] as const)
      .filter(([, each]) => each >= 0.05)
      .toSorted(([, a], [, b]) => b - a),
  }
}

/** Counts the requests of a client from now on. */
function countRequests(client: SQSClient): { count: number } {
  const seen = { count: 0 }
  client.middlewareStack.add(
    (next) => (args) => {
      seen.count++
      return next(args)
    },
    { step: 'initialize' },
  )
  return seen
}

const startedMs = Date.now() - 3_600_000

/** Invokes a function with `size` CDRs, each with its own call_ref, in the lanes of its route. */
async function invoke(handler: LambdaHandler, route: Route, arn: string, first: number, size: number): Promise<void> {
  const events = Array.from({ length: size }, (_, at) => {
    const index = first + at
    const payload = {
      ...readCdr(index),
      call_ref: `r${index}`,
      dialed_at: Math.floor(startedMs / 1_000) + (index % 3_000),
    }
    const event = toEvent('campaigns', 'cdr', undefined, payload, {
      epoch: startedMs,
      index,
      timeMs: startedMs + index,
    })
    const { id, time, data, transport, channel, sequence } = event
    return {
      lane: String(laneOf(payload.call_ref, route.lanes)),
      text: formatEvent({
        id,
        source: '/enigma/main',
        type: 'enigma.campaigns.cdr',
        time,
        datacontenttype: 'application/json',
        data,
        transport,
        channel,
        sequence,
      }),
    }
  })
  const messages = [...Map.groupBy(events, ({ lane }) => lane)]
  const records = messages.map(([lane, own]) =>
    toLambdaRecord(
      {
        MessageId: `${first}-${lane}`,
        Body: `[${own.map(({ text }) => text).join(',')}]`,
        Attributes: { MessageGroupId: lane },
      },
      arn,
    ),
  )
  const context = { functionName: route.name, awsRequestId: 'bench', getRemainingTimeInMillis: () => 30_000 }
  const answer = await handler({ Records: records }, context)
  const failed = answer?.batchItemFailures?.length ?? 0
  if (failed > 0) throw new Error(`${failed} messages were not parked`)
}
