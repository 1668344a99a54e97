import { expect, onTestFinished, test } from 'vitest'
import { createRequestWatcher } from '../../../src/relay/sender/target-requests.ts'
import { createUplink } from '../../../src/relay/sender/uplink.ts'
import { statusOf } from '../../../src/relay/relay-error.ts'
import { waitFor } from '../../support/relay.ts'

const SILENT_MS = 60

/** A server that hangs until a test changes its behaviour. It records the requests that it received, and those that were aborted. */
function useServer() {
  const sent: { readonly input: string; readonly signal: AbortSignal }[] = []
  const server = { answer: (_input: string): 'hang' | Promise<string> => 'hang' }
  // Known to be fast: so nothing is overdue later for its size.
  const uplink = createUplink()
  uplink.arrive(uplink.ship(1_000_000_000), 'answered')
  const requests = createRequestWatcher(
    (input: string, signal) => {
      sent.push({ input, signal })
      const answer = server.answer(input)
      if (answer !== 'hang') return answer
      return new Promise<string>((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(new Error('aborted'))),
      )
    },
    {
      uplink,
      toProbe: (input) => ({ input, bytes: 1 }),
      isAnswer: (error) => statusOf(error) !== undefined,
      silentMs: SILENT_MS,
    },
  )
  onTestFinished(() => requests.end(0))
  /** Sends a request, and resolves with its answer or its error message. */
  const send = (input: string) => requests.send(input, 1).catch((error: unknown) => (error as Error).message)
  const times = (input: string) => sent.filter((one) => one.input === input).length
  return { server, requests, sent, send, times }
}

const answered = (words: string) => Object.assign(new Error(words), { $metadata: { httpStatusCode: 400 } })

test('while the oldest request is unanswered, copies of it are sent, and of no other', async () => {
  const { send, times, requests } = useServer()
  void send('a')
  void send('b')
  await waitFor(() => times('a') === 4, 'three copies')
  expect([times('b'), requests.size]).toEqual([1, 2])
})

test('when a probe is answered, earlier requests that still hang are aborted and fail at once, so that they are retried', async () => {
  const { server, send, sent, times, requests } = useServer()
  const all = Promise.all(['a', 'b', 'c'].map(send))
  await waitFor(() => times('a') === 2, 'a copy that hangs as well')
  server.answer = (input) => Promise.resolve(`${input} is there`)
  const [a, b, c] = await all
  expect(a).toBe('a is there')
  for (const other of [b, c])
    expect(other).toMatch(/^SQS did not answer within \d+ ms, although it answered later requests$/)
  expect([times('b'), times('c'), requests.size]).toEqual([1, 1, 0])
  expect(sent.slice(0, 3).map(({ input, signal }) => [input, signal.aborted])).toEqual([
    ['a', true],
    ['b', true],
    ['c', true],
  ])
})

test('a request that was sent a moment ago is not aborted when a copy of an older one is answered', async () => {
  const { server, send, times, requests } = useServer()
  const first = send('a')
  const copied = Promise.withResolvers<string>()
  server.answer = (input) => (input === 'a' ? copied.promise : 'hang')
  await waitFor(() => times('a') === 2, 'the copy')
  void send('late')
  copied.resolve('a is there')
  expect(await first).toBe('a is there')
  expect([requests.size, times('late')]).toEqual([1, 1])
})

test('the answer of SQS to a copy is the answer to the request; a network error of a copy is ignored', async () => {
  const { server, send, times } = useServer()
  const first = send('a')
  server.answer = () => Promise.reject(new Error('ECONNRESET'))
  await waitFor(() => times('a') === 3, 'copies that fail')
  server.answer = () => Promise.reject(answered('InvalidMessageContents'))
  expect(await first).toBe('InvalidMessageContents')
})

test('a request that is answered in time is sent once; an open request fails at the end', async () => {
  const { server, send, times, requests } = useServer()
  server.answer = (input) => Promise.resolve(`${input} is there`)
  expect(await send('a')).toBe('a is there')
  server.answer = () => 'hang'
  const last = send('b')
  void requests.end(0)
  expect(await last).toBe('the relay stopped before SQS answered')
  expect([times('a'), times('b'), requests.size]).toEqual([1, 1, 0])
})

test('the answer to the probe of a request is the answer to that request; other requests are unanswered', async () => {
  const uplink = createUplink()
  uplink.arrive(uplink.ship(1_000_000_000), 'answered')
  const sent: string[] = []
  let isWell = false
  const requests = createRequestWatcher(
    (input: string, signal: AbortSignal) => {
      sent.push(input)
      if (isWell) return Promise.resolve(`${input} is there`)
      return new Promise<string>((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(new Error('aborted'))),
      )
    },
    {
      uplink,
      silentMs: SILENT_MS,
      isAnswer: () => false,
      toProbe: (input) => ({ input: input.slice(0, 1), bytes: input.charCodeAt(0) }),
    },
  )
  onTestFinished(() => requests.end(0))
  const both = [requests.send('bcd', 1), requests.send('aef', 1)].map((one) => one.catch((error: unknown) => error))
  await waitFor(() => sent.length === 3, 'the probe')
  expect(sent[2]).toMatch(/^[ab]$/)
  isWell = true
  const [other, first] = await Promise.all(both)
  expect(first).toBe('a is there')
  expect(other).toMatchObject({ code: 'relay.sqs.no_answer' })
})
