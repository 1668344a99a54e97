import { Webhook } from 'standardwebhooks'
import { expect, test } from 'vitest'
import { fromHttp, type FromHttpOptions } from '../../src/adapter/index.ts'
import { formatEvent, type HttpOutcome, type Notification } from '../../src/protocol/index.ts'
import { cdr, notification } from './factories.ts'
import { createScene, createWorld, ids, type Answer } from './world.ts'

/** A handler as `createScene` has it, behind HTTP. */
function createHttpScene(
  answers: (reference: string, index: number) => Answer = () => 204,
  own: Partial<FromHttpOptions<string>> & { failCommit?: () => boolean } = {},
) {
  const scene = createScene(answers, own.failCommit === undefined ? {} : { failCommit: own.failCommit })
  const { commit, recall, now, log } = scene.options
  const start = (more: Partial<FromHttpOptions<string>> = {}) =>
    fromHttp<string>(scene.app, {
      verify: false,
      commit,
      ...(recall === undefined ? {} : { recall }),
      ...(now === undefined ? {} : { now }),
      ...(log === undefined ? {} : { log }),
      ...own,
      ...more,
    })
  let fetch = start()
  const send = async (content: readonly Notification[] | string, headers: Record<string, string> = {}) => {
    const body = typeof content === 'string' ? content : `[${content.map(formatEvent).join(',')}]`
    const response = await fetch(
      new Request('http://x/enigma?a=1', {
        method: 'POST',
        headers: { 'content-type': 'application/cloudevents-batch+json; charset=utf-8', ...headers },
        body,
      }),
    )
    const answer = (await response.json()) as { outcomes: HttpOutcome[]; detail: string }
    return { status: response.status, type: response.headers.get('content-type'), ...answer }
  }
  return { ...scene, send, restart: (more: Partial<FromHttpOptions<string>> = {}) => void (fetch = start(more)) }
}

const status = (reference: string, index: number) => notification(reference, index)
const three = [status('1002', 1), status('1003', 2), status('1002', 3)]

test('answers with an outcome for each event, in the order of the request, and commits once', async () => {
  const { send, commits, ran } = createHttpScene()
  const { status: code, type, outcomes } = await send(three, { 'ce-route': 'agents-status', 'ce-attempt': '1' })
  expect([code, type]).toEqual([200, 'application/vnd.enigma-relay.outcomes+json'])
  expect(outcomes).toEqual(ids(1, 2, 3).map((id) => ({ id, outcome: 'done' })))
  expect(commits.map(({ effects, done }) => [effects, done.size])).toEqual([[ids(1, 2, 3), 0]])
  expect(ran).toEqual(ids(1, 2, 3))
})

test('an empty batch is answered with no outcomes, and commits nothing', async () => {
  const { send, commits } = createHttpScene()
  expect(await send('[]')).toMatchObject({ status: 200, outcomes: [] })
  expect(commits).toEqual([])
})

test('a retry holds back later notifications of its reference only, and a repeated request runs what is left', async () => {
  let isAway = true
  const { send, ran, commits } = createHttpScene((reference, index) => (isAway && index === 1 ? 503 : 204))
  const { outcomes } = await send(three)
  expect(outcomes).toEqual([
    { id: 'main/p/7/1', outcome: 'retry', after: 1 },
    { id: 'main/p/7/2', outcome: 'done' },
    { id: 'main/p/7/3', outcome: 'retry', after: 1 },
  ])
  expect(ran).toEqual(ids(1, 2))
  expect(commits[0]?.done).toEqual(new Map([['main/p/7/0k', ids(2)]]))
  isAway = false
  ran.length = 0
  expect((await send([three[0]!, three[2]!], { 'ce-attempt': '2' })).outcomes.map(({ outcome }) => outcome)).toEqual([
    'done',
    'done',
  ])
  expect(ran).toEqual(ids(1, 3))
  // The answer was lost, so the whole request is sent again.
  ran.length = 0
  expect((await send(three, { 'ce-redelivery': 'true' })).outcomes.map(({ outcome }) => outcome)).toEqual([
    'done',
    'done',
    'done',
  ])
  expect(ran).toEqual([])
})

test('finished notifications are remembered while any of the request is left, under one name for each thousand neighbours', async () => {
  const { send, commits } = createHttpScene((_, index) => (index === 1 ? 503 : 204))
  await send([status('1', 1), status('2', 2), status('3', 2_500), status('4', 2_501), cdr('17', 4)])
  expect(commits[0]?.done).toEqual(
    new Map([
      ['main/p/7/0k', ids(2)],
      ['main/p/7/2k', ids(2_500, 2_501)],
      ['main/l/9/0k', ['main/l/9/4']],
    ]),
  )
})

test('another process recalls finished notifications if the request is marked as a redelivery or a later attempt', async () => {
  const { send, ran, recalls, restart } = createHttpScene((_, index) => (index === 1 ? 503 : 204))
  await send(three)
  restart()
  ran.length = 0
  await send(three)
  // A first attempt is not looked up: it would cost each request a command.
  expect([recalls, ran]).toEqual([[], ids(1, 2)])
  for (const headers of [{ 'ce-redelivery': 'true' }, { 'ce-attempt': '2' }]) {
    restart()
    ran.length = 0
    await send(three, headers)
    expect(ran).toEqual(ids(1))
  }
  expect(recalls).toEqual([['main/p/7/0k'], ['main/p/7/0k']])
})

test('a notification that fails on the last attempt is parked alone, another 4xx at once, with the lane that it would have in a queue', async () => {
  const { send, parked } = createHttpScene((reference) =>
    reference === '1002' ? 503 : reference === '1003' ? 422 : 204,
  )
  const all = [status('1002', 1), status('1003', 2), status('1004', 3)]
  expect((await send(all, { 'ce-attempt': '9' })).outcomes).toEqual([
    { id: 'main/p/7/1', outcome: 'retry', after: 256 },
    { id: 'main/p/7/2', outcome: 'parked' },
    { id: 'main/p/7/3', outcome: 'done' },
  ])
  expect((await send([all[0]!], { 'ce-attempt': '10' })).outcomes).toEqual([{ id: 'main/p/7/1', outcome: 'parked' }])
  expect(parked).toMatchObject([
    { route: 'agents-status', key: 'main/p/7/2', messageId: 'main/p/7/2', status: 422, attempts: 1 + 8 },
    {
      route: 'agents-status',
      key: 'main/p/7/1',
      status: 503,
      attempts: 10,
      messageGroupId: expect.stringMatching(/^\d+$/) as string,
    },
  ])
  expect(parked.map((one) => one.eventSourceARN)).toEqual([undefined, undefined])
})

test('every outcome is retry when the commit fails; the next request commits without running anything again', async () => {
  let isDown = true
  const { send, ran, commits, lines } = createHttpScene((_, index) => (index === 2 ? 422 : 204), {
    failCommit: () => isDown,
    outageSeconds: 3,
  })
  expect((await send(three, { 'ce-attempt': '4' })).outcomes).toEqual(
    ids(1, 2, 3).map((id) => ({ id, outcome: 'retry', after: 3 })),
  )
  expect(lines.map(({ code }) => code)).toContain('adapter.commit.failed')
  isDown = false
  expect((await send([...three, three[0]!], { 'ce-attempt': '5' })).outcomes.map(({ outcome }) => outcome)).toEqual([
    'done',
    'parked',
    'done',
    'done',
  ])
  expect([ran, commits[0]?.effects]).toEqual([ids(1, 2, 3), ids(1, 2, 3)])
})

test('a copy in the same request runs once, and its effects survive a commit that failed', async () => {
  let isDown = true
  const { send, ran, commits } = createHttpScene(() => 204, { failCommit: () => isDown })
  const copies = [three[0]!, three[0]!]
  await send(copies)
  isDown = false
  expect((await send(copies)).outcomes).toEqual([
    { id: 'main/p/7/1', outcome: 'done' },
    { id: 'main/p/7/1', outcome: 'done' },
  ])
  expect([ran, commits.map(({ effects }) => effects)]).toEqual([ids(1), [ids(1)]])
})

test('a handler that hangs is retried within the time limit of the request, and does not hold up other references', async () => {
  const { send, aborted } = createHttpScene((reference) => (reference === '1002' ? 'hang' : 204), { limitMs: 4_000 })
  const { outcomes } = await send(three)
  expect(outcomes.map(({ outcome }) => outcome)).toEqual(['retry', 'done', 'retry'])
  expect(aborted).toEqual(ids(1))
})

test('a body that is not a batch is refused as a whole, and the answer names the expected format', async () => {
  const { send, commits, ran } = createHttpScene()
  for (const body of ['', 'no json', '{}', formatEvent(three[0]!), '[1]', `[${formatEvent(three[0]!)},{}]`]) {
    const { status: code, detail } = await send(body)
    expect([code, detail]).toEqual([400, expect.stringContaining('Send a JSON array of CloudEvents 1.0') as string])
  }
  expect([commits, ran]).toEqual([[], []])
})

test('a replay runs a finished notification again with the id of the job, and its outcome is committed', async () => {
  const { send, ran, replays, commits } = createHttpScene((_, index) => (index === 3 ? 422 : 204))
  await send(three)
  ran.length = 0
  const of = (entry: string) => ({ 'ce-replay': 'job-1', 'ce-parked': entry })
  expect((await send([three[0]!], of('e1'))).outcomes).toEqual([{ id: 'main/p/7/1', outcome: 'done' }])
  expect((await send([three[2]!], of('e3'))).outcomes).toEqual([{ id: 'main/p/7/3', outcome: 'parked' }])
  expect(ran).toEqual(ids(1, 3))
  expect(replays).toEqual([undefined, undefined, undefined, 'job-1', 'job-1'])
  expect(commits.slice(1).map(({ replayed }) => replayed)).toEqual([
    [{ job: 'job-1', entry: 'e1', hasFailed: false, messageId: 'job-1/e1' }],
    [{ job: 'job-1', entry: 'e3', hasFailed: true, messageId: 'job-1/e3' }],
  ])
  expect(commits[2]?.parked).toMatchObject([{ replay: { job: 'job-1', entry: 'e3' }, messageId: 'job-1/e3' }])
  // Its answer was lost.
  await send([three[0]!], { ...of('e1'), 'ce-redelivery': 'true' })
  expect(ran).toEqual(ids(1, 3))
  expect((await send(three, of('e1'))).status).toBe(400)
})

test('a request with a wrong signature reaches no handler, and a right one does', async () => {
  const secret = `whsec_${Buffer.from('a secret of thirty-two bytes ....').toString('base64')}`
  const { send, ran } = createHttpScene(() => 204, { verify: { webhook: secret }, now: Date.now })
  const body = `[${three.map(formatEvent).join(',')}]`
  const at = new Date()
  const headers = {
    'webhook-id': 'm1',
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(secret).sign('m1', at, body),
  }
  expect((await send(body.replace('1003', '1009'), headers)).status).toBe(401)
  expect(ran).toEqual([])
  expect((await send(body, headers)).status).toBe(200)
})

test('a foreign event is remembered by its source and id, whatever its id looks like', async () => {
  const { send, ran } = createHttpScene()
  const foreign = { ...status('1002', 1), source: 'urn:other', id: 'a b/5' }
  const other = { ...foreign, source: 'urn:another' }
  await send([foreign, other])
  await send([foreign, cdr('17', 4)], { 'ce-redelivery': 'true' })
  expect(ran).toEqual(['a b/5', 'a b/5', 'main/l/9/4'])
})

test('a single structured event is handled as in binary mode: the answer is the handler’s', async () => {
  const world = createWorld<string>()
  const { app, ran } = createScene((reference) => (reference === '1003' ? 503 : 204))
  const fetch = fromHttp<string>(app, { ...world.options, verify: false })
  const post = async (body: string) =>
    (
      await fetch(
        new Request('http://x/', { method: 'POST', headers: { 'content-type': 'application/cloudevents+json' }, body }),
      )
    ).status
  expect(await post(formatEvent(three[0]!))).toBe(204)
  expect(await post(formatEvent(three[1]!))).toBe(503)
  expect(await post('{}')).toBe(400)
  expect(ran).toEqual(ids(1, 2))
  expect(world.commits.map(({ effects }) => effects)).toEqual([ids(1), ids(2)])
})
