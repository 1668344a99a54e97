import { createUplink } from '../../../src/relay/sender/uplink.ts'
import { SQSClient } from '@aws-sdk/client-sqs'
import { expect, onTestFinished, test } from 'vitest'
import { createHttpHandler } from '../../../src/relay/targets/http-handler.ts'
import { useProxy } from '../../support/proxy.ts'
import { waitFor } from '../../support/relay.ts'
import { useSender } from '../../support/sender.ts'
import { useSqsFaults } from '../../support/sqs-faults.ts'

/** A sender behind an uplink of this many bytes/s, with a backlog of 1 KB notifications that does not end. */
async function useSlowUplink(bytesPerSecond: number) {
  const server = await useSqsFaults()
  const proxy = await useProxy(server.port)
  proxy.state.uplinkBytesPerSecond = bytesPerSecond
  const requestHandler = createHttpHandler({
    proxies: { https: undefined, http: undefined, except: '' },
    requestTimeoutMs: 10_000,
  })
  const sqs = new SQSClient({
    endpoint: `http://127.0.0.1:${proxy.port}`,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    useQueueUrlAsEndpoint: false,
    maxAttempts: 1,
    md5: false,
    requestHandler,
  })
  onTestFinished(() => sqs.destroy())
  const use = useSender(sqs, {}, createUplink())
  for (let n = 0; n < 60; n++)
    for (let agent = 0; agent < 100; agent++) use.push(String(1_000 + agent), n, { padding: 'x'.repeat(400) })
  return { server, proxy, ...use }
}

test('more than 90 percent of a slow uplink is used, and nothing is sent twice', async () => {
  const RATE = 100_000
  const { server } = await useSlowUplink(RATE)
  const arrived: { readonly atMs: number; readonly bytes: number }[] = []
  server.state.answer = ({ entries }) => {
    arrived.push({ atMs: performance.now(), bytes: Buffer.byteLength(JSON.stringify(entries)) })
    return 'accept'
  }
  // The first requests are small, because the rate of the uplink is not known yet.
  await waitFor(() => arrived.length > 5, 'the first requests')
  const first = arrived[5]
  await waitFor(() => performance.now() - (first?.atMs ?? 0) > 4_000, 'four seconds')
  const later = arrived.slice(6)
  const tookMs = (later.at(-1)?.atMs ?? 0) - (first?.atMs ?? 0)
  const used = later.reduce((sum, { bytes }) => sum + bytes, 0) / ((tookMs / 1000) * RATE)
  expect(used).toBeGreaterThan(0.9)
  const ids = server.requests.flatMap(({ entries }) => entries.map((entry) => entry.MessageDeduplicationId))
  expect(new Set(ids).size).toBe(ids.length)
})
