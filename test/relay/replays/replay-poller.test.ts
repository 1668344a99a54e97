import { serve } from '@hono/node-server'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { problemResponse } from '../../../src/api/problems.ts'
import { createReplayPoller } from '../../../src/relay/replays/replay-poller.ts'
import { captureLog } from '../../support/log.ts'
import { waitFor } from '../../support/relay.ts'

/** An API whose answers the test decides, and a relay that polls it. */
async function usePoller(answer: (body: { relay: string; round?: unknown }, asked: number) => Response) {
  const asked: { relay: string; round?: unknown }[] = []
  const server = serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: async (request) => {
      const body = (await request.json()) as { relay: string }
      asked.push(body)
      return answer(body, asked.length)
    },
  })
  await once(server, 'listening')
  const { log, coded, lines } = captureLog()
  const sent: { event: string; attempt: number }[] = []
  const poller = createReplayPoller({
    api: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, token: 'o'.repeat(40) },
    relayId: 'pbx-1',
    send: async ({ event }, { attempt }) => {
      sent.push({ event, attempt })
      return { outcome: 'done' }
    },
    log,
    maxBackoffMs: 20,
  })
  const end = new AbortController()
  const done = poller.run(end.signal)
  onTestFinished(async () => {
    end.abort()
    await done
    server.close()
  })
  return { asked, sent, coded, lines, end, done }
}

const nothing = { go_on: false, round: null, wait_ms: 5 }

test('a refusal is logged once with the fix and without the token, and the relay asks again until the API accepts', async () => {
  const { coded, lines } = await usePoller((_, asked) =>
    asked < 5 ? problemResponse('forbidden', 'This needs a token with the role operate.') : Response.json(nothing),
  )
  await waitFor(() => coded('relay.replays.on').length === 1, 'the API to answer')
  expect(coded('relay.replays.refused')).toMatchObject([
    { level: 50, status: 403, fix: expect.stringContaining('operate') as string },
  ])
  expect(lines.join()).not.toContain('o'.repeat(40))
})

test('a report whose answer was lost is sent again', async () => {
  const round = { job: 'j', round: '3', again: false, messages: [{ entry: 'e', route: 'r', lane: '1', event: '{}' }] }
  const { asked, sent, coded } = await usePoller((_, count) =>
    count === 1
      ? Response.json({ ...nothing, round })
      : count < 4
        ? new Response('', { status: 502 })
        : Response.json(nothing),
  )
  await waitFor(() => asked.length > 5, 'the relay to go on')
  const report = { job: 'j', round: '3', settled: [{ entry: 'e' }], done: true }
  expect(asked.slice(0, 5).map((body) => body.round)).toEqual([undefined, report, report, report, undefined])
  expect([sent, coded('relay.replays.unavailable').length]).toEqual([[{ event: '{}', attempt: 1 }], 1])
})

test('a waiting poller stops at once', async () => {
  const { asked, end, done } = await usePoller(() => Response.json({ ...nothing, wait_ms: 600_000 }))
  await waitFor(() => asked.length === 1, 'the relay to ask')
  end.abort()
  await done
  expect(asked).toEqual([{ relay: 'pbx-1' }])
})
