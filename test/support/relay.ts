import { ReceiveMessageCommand, DeleteMessageBatchCommand } from '@aws-sdk/client-sqs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { readBody, type Notification } from '../../src/protocol/index.ts'
import { createRelay, readConfig, type RelayOptions } from '../../src/relay/index.ts'
import { captureLog } from './log.ts'
import { expectPrivate } from './privacy.ts'
import type { useSqs } from './sqs.ts'
import { ROUTES } from './routes.ts'

export type UseRelayOptions = Partial<Omit<RelayOptions, 'config' | 'log'>> & {
  readonly redisUrl: string
  readonly endpoint: string
  readonly lists?: readonly string[]
  readonly channels?: readonly string[]
  readonly env?: Record<string, string>
  readonly dataDir?: string
}

/** Creates a folder, and deletes it when the test ends. */
export async function useFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'enigma-test-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** The environment of a relay for these servers. */
export function relayEnv(
  { redisUrl, endpoint, lists = [], channels, env }: UseRelayOptions,
  dataDir: string,
): Record<string, string> {
  return {
    ENIGMA_SOURCES: `main=${redisUrl}`,
    ENIGMA_LISTS: lists.join(',') || 'none',
    ENIGMA_DATA_DIR: dataDir,
    ENIGMA_RELAY_ID: 'test',
    ENIGMA_LINGER: 'none',
    // Requests for commands would count among the requests of a test.
    ENIGMA_COMMANDS: 'none',
    ENIGMA_HTTP: '127.0.0.1:0',
    AWS_ENDPOINT_URL_SQS: endpoint,
    AWS_REGION: 'us-east-1',
    ...(channels === undefined ? {} : { ENIGMA_CHANNELS: channels.join(',') }),
    ...env,
  }
}

/** Starts a relay in this process, and stops it when the test ends. Resolves when all parts are ready, except SQS and refused sources. */
export async function useRelay(options: UseRelayOptions) {
  process.env['AWS_ACCESS_KEY_ID'] ??= 'test'
  process.env['AWS_SECRET_ACCESS_KEY'] ??= 'test'
  const dataDir = options.dataDir ?? (await useFolder())
  const { log, lines, coded } = captureLog()
  const listening = Promise.withResolvers<string>()
  const {
    redisUrl: _url,
    endpoint: _endpoint,
    lists: _lists,
    channels: _channels,
    env: _env,
    dataDir: _dir,
    ...more
  } = options
  const relay = createRelay({
    config: readConfig(relayEnv(options, dataDir), ROUTES),
    routes: ROUTES,
    log,
    ...more,
    onListening: listening.resolve,
  })
  const abort = new AbortController()
  const done = relay.run(abort.signal)
  done.catch(listening.reject)
  let stopped: Promise<void> | undefined
  const stop = () => {
    abort.abort()
    stopped ??= done
    return stopped
  }
  onTestFinished(async () => {
    await stop().catch(() => undefined)
    expectPrivate(lines, 'the log of the relay')
  })
  const address = await listening.promise
  const isReady = async () =>
    ((await (await fetch(`${address}/readyz`)).json()) as { parts: Record<string, { ok: boolean }> }).parts
  await waitFor(async () => {
    const parts = await isReady()
    return Object.entries(parts).every(([name, part]) => part.ok || /^(sqs|source:)/.test(name))
  }, 'the relay to be ready')
  return { address, stop, lines, coded, dataDir, metrics: relay.metrics }
}

/** Waits until the condition holds. @throws Error that names `what` after `timeoutMs` (default 20 s, because a machine may be busy) */
export async function waitFor(
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 20_000,
): Promise<void> {
  const until = performance.now() + timeoutMs
  for (;;) {
    const from = performance.now()
    if (await condition()) return
    if (performance.now() > until) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`)
    // Checks a slow condition less often, so that the checks do not keep the machine busy.
    const pauseMs = Math.min(200, Math.max(10, 3 * (performance.now() - from)))
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}

/** Receives and deletes messages until `count` notifications of a route have arrived. Returns them in the order of each message group. */
export async function receiveAll(
  server: Awaited<ReturnType<typeof useSqs>>,
  route: string,
  count: number,
  timeoutMs = 40_000,
): Promise<Notification[]> {
  const QueueUrl = server.url(route)
  const received: Notification[] = []
  const until = performance.now() + timeoutMs
  while (received.length < count) {
    if (performance.now() > until) throw new Error(`of ${count} notifications for ${route} came ${received.length}`)
    const { Messages = [] } = await server.sqs.send(
      new ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: 10,
        WaitTimeSeconds: 1,
        MessageAttributeNames: ['All'],
      }),
    )
    for (const message of Messages)
      received.push(
        ...(await readBody(message.Body ?? '', message.MessageAttributes?.['content-encoding']?.StringValue)),
      )
    if (Messages.length > 0) {
      await server.sqs.send(
        new DeleteMessageBatchCommand({
          QueueUrl,
          Entries: Messages.map((m, i) => ({ Id: String(i), ReceiptHandle: m.ReceiptHandle })),
        }),
      )
    }
  }
  return received
}
