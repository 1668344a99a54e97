import {
  cdr,
  dialerStatus,
  dialPreview,
  latest,
  other,
  relayAlive,
  relayGap,
  agentCall,
  campaignStatus,
} from 'enigma-relay/store'
import { expect, it } from 'vitest'
import { toOutcomeEffects } from '../../src/store/effects/park-effects.ts'
import { allItems } from '../../src/client/index.ts'
import { notification } from '../adapter/factories.ts'
import { notice } from '../api/api-world.ts'
import { MASKED, OPERATOR, useServedApi } from './client-world.ts'

type Served = Awaited<ReturnType<typeof useServedApi>>

const BASE_MS = Date.now() - 3_600_000
const REF = 'a/b ?#%é+1'

/** Parks entries as functions behind SQS do. */
async function park({ commit }: Served, count: number) {
  for (let at = 1; at <= count; at++) {
    const one = notification('1002', at, { payload: { number: '27821234567', status: 'busy' } })
    const parked = {
      route: 'agents-status',
      eventSourceARN: 'arn:aws:sqs:us-east-1:000000000000:enigma-agents-status.fifo',
      key: one.id,
      notification: one,
      reason: '422: call_ref is missing',
      attempts: 1,
      messageId: `m${at}`,
      messageGroupId: '17',
    }
    await commit(...(await toOutcomeEffects({ parked: [parked], failed: [], replayed: [] }, BASE_MS + at * 1000)))
  }
}

const cdrOf = (at: number, own: object = {}) => {
  const dialed_at = Math.floor(BASE_MS / 1000) + at
  const payload = { ref: '7', call_ref: `c${at}`, dialed_at, number: `2782${at}`, end_reason: 'busy', ...own }
  return cdr(notice(payload, { transport: 'list' }))
}

it('every path and every parameter of the API is sent by a method of the client', async () => {
  const world = await useServedApi({ events: { pollMs: 5 } })
  await park(world, 3)
  const { sent, ...client } = world.client({ token: OPERATOR })
  const { items } = await client.parked()
  const [first = '', second = ''] = items.map(({ id }) => id)
  const moments = { from: new Date(BASE_MS), to: '2036-01-31' }
  const paging = { limit: 2, cursor: undefined }
  const ignoreMissing = async (call: Promise<unknown>) => {
    try {
      await call
    } catch (error) {
      expect(error).toMatchObject({ code: 'not-found' })
    }
  }

  await client.agents({ campaign: '7', status: 'busy', unsure: false, counts: true, ...paging })
  await ignoreMissing(client.agent('1002'))
  await client.campaigns(paging)
  await ignoreMissing(client.campaign('7'))
  await ignoreMissing(client.preview('7'))
  const plain = { ...moments, campaign: '7', agent: '1', end_reason: 'busy', ...paging }
  await client.cdrs(plain)
  await client.cdrs({ ...plain, contact: 'a', number: '+2782' })
  await ignoreMissing(client.cdr('none'))
  await client.dialers()
  await client.gaps({ source: 'main', since: new Date(BASE_MS), ...paging })
  await client.missing({ source: 'main', agent: '1002', campaign: '7', ...paging })
  await client.relays()
  await ignoreMissing(client.queues())
  await ignoreMissing(client.kind('agents', 'break', '1002'))
  await client.other(paging)
  expect((await client.wall()).agents).toEqual([])
  expect(await client.config()).toEqual({
    name: 'jane',
    role: 'operate',
    events: '/events',
    replays: true,
    dead_letters: true,
  })
  expect(await client.health()).toEqual({ status: 'ok', store: 'ok' })
  const { cursor } = await client.changesPage()
  await client.changesPage({ after: cursor, type: 'agents', reference: '1002' })
  for await (const _ of client.changes({ type: 'agents', reference: '1002' })) break
  const confirmed = await client.expect('agents/1002', 'offline', { campaign: '7', source: 'main' })
  expect(await confirmed.within(0)).toMatchObject({ outcome: 'pending', state: null })

  const filter = { source: 'main', route: 'agents-status', reason: '422', reference: '1002' }
  const more = { notification: 'n', cause: 'c', status: 422, since: new Date(BASE_MS), until: new Date() }
  await client.parked({ from: 'functions', counts: true, ...filter, ...more, ...paging })
  await client.parkedGroups({ from: 'functions', ...filter, ...more })
  expect((await client.parkedEntry(first)).content).toMatchObject({ masked: true })
  expect((await client.parkedEntry(first, { reveal: true })).content).toMatchObject({ masked: false })
  expect(await client.planReplay({ filter: { until: new Date() } })).toMatchObject({ total: 3 })
  const ofCdrs = { cdrs: { ...moments, campaign: '7' }, route: 'campaigns-cdr' } as const
  expect(await client.planReplay(ofCdrs)).toMatchObject({ total: 0, complete: true })
  const replay = await client.startReplay({ ids: [first], rate: 5 })
  expect(replay).toMatchObject({ operator: 'jane', state: 'running', rate: 5 })
  const again = await client.startReplay(ofCdrs)
  expect(again.cdrs).toMatchObject({ route: 'campaigns-cdr', campaign: '7' })
  expect((await client.replays(paging)).items).toHaveLength(2)
  expect(await client.replayDetail(replay.id, { ...paging, outcome: 'waiting' })).toMatchObject({ id: replay.id })
  await expect(client.nextRound({ relay: 'pbx-1' })).rejects.toMatchObject({ status: 400, code: 'bad-request' })
  expect(await client.stopReplay(replay.id)).toMatchObject({ state: 'stopped' })
  expect(await client.deleteParked({ ids: [second] })).toMatchObject({ moved: 1, skipped: 0, more: false })
  expect((await client.bin(paging)).items).toMatchObject([{ id: second, deleted_by: 'jane' }])
  expect(await client.restore([second])).toMatchObject({ moved: 1 })
  expect(await client.drain()).toEqual({ asked: true })
  const actions = (await client.audit(paging)).items.map(({ action }) => action)
  expect(actions).toEqual(['drain', 'restore'])

  const document = (await client.openApi()) as {
    paths: Record<string, Record<string, { parameters?: { in: string; name: string }[] }>>
  }
  const unsent: string[] = []
  for (const [path, methods] of Object.entries(document.paths))
    for (const [method, { parameters = [] }] of Object.entries(methods)) {
      const shape = new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`)
      const calls = sent.filter((call) => shape.test(call.path) && call.init.method === method.toUpperCase())
      if (calls.length === 0) unsent.push(`${method} ${path}`)
      const names = new Set(calls.flatMap(({ url }) => [...new URL(url).searchParams.keys()]))
      for (const { in: place, name } of parameters)
        // The client sets `masked`, `allItems` sets cursors, numbers and contacts go in a body, and a stream resumes by its header.
        if (
          place === 'query' &&
          !names.has(name) &&
          !['masked', 'cursor', 'number', 'contact'].includes(name) &&
          !(path === '/events' && name === 'after')
        )
          unsent.push(`${method} ${path}?${name}`)
    }
  expect(unsent).toEqual([])
})

it('records are read whatever characters their reference has; an empty, . or .. reference is not found', async () => {
  const world = await useServedApi()
  const { change, commit } = world
  const client = world.client()
  await change(REF)
  await commit(
    agentCall(notice({ call_ref: 'c1', number: '27821234567' }, { subType: 'call', reference: REF })),
    campaignStatus(notice({ status: 'started' }, { type: 'campaigns', reference: REF })),
    dialPreview(notice({ callees: [{ number: '1' }] }, { type: 'campaigns', reference: REF })),
    dialerStatus(notice({ status: 'started' })),
    latest(notice({ any: 1 }, { subType: 'break', reference: REF })),
    cdrOf(1),
  )
  expect((await client.agent(REF)).call?.call_ref).toBe('c1')
  expect((await client.campaign(REF)).status).toBe('started')
  expect((await client.preview(REF)).callees).toHaveLength(1)
  expect((await client.dialers()).items).toHaveLength(1)
  expect((await client.kind('agents', 'break', REF)).latest.payload).toEqual({ any: 1 })
  const [{ id } = { id: '' }] = (await client.cdrs({ number: '27821' })).items
  expect((await client.cdr(id)).payload['call_ref']).toBe('c1')
  for (const ref of ['', '.', '..']) await expect(client.agent(ref)).rejects.toMatchObject({ code: 'not-found' })
})

it('allItems returns every item of a list once, page by page, and requests no page that is not needed', async () => {
  const world = await useServedApi()
  await world.commit(...Array.from({ length: 25 }, (_, at) => cdrOf(at)))
  await park(world, 5)
  const { sent, ...client } = world.client({ token: OPERATOR })
  const refs: (string | null)[] = []
  for await (const one of allItems(client.cdrs, { campaign: '7', limit: 4 })) refs.push(one.call_ref)
  expect(refs).toEqual(Array.from({ length: 25 }, (_, at) => `c${24 - at}`))
  expect(sent.length).toBeGreaterThanOrEqual(7)
  const before = sent.length
  for await (const _ of allItems(client.cdrs, { limit: 1 })) break
  expect(sent.length).toBe(before + 1)
  const ids: string[] = []
  for await (const { id } of allItems(client.parked)) ids.push(id)
  expect(ids).toHaveLength(5)
  const { id } = await client.startReplay({ ids })
  const messages: string[] = []
  for await (const one of allItems(async (page) => (await client.replayDetail(id, { ...page, limit: 2 })).messages))
    messages.push(one.id)
  expect(messages).toEqual(ids.toReversed())
})

it('numbers in CDRs, calls, previews and kinds are masked with the option masked and with a masked token', async () => {
  const world = await useServedApi()
  const number = '27821234567'
  await world.commit(
    cdrOf(1234567),
    agentCall(notice({ call_ref: '1', number }, { subType: 'call', reference: '1002' })),
    dialPreview(notice({ callees: [{ number }] }, { type: 'campaigns', subType: 'dial_preview', reference: '7' })),
    latest(notice({ number }, { type: 'crm', subType: 'note', reference: '9' })),
  )
  /** Returns the answers that show the number. */
  const read = async (options: Parameters<typeof world.client>[0]) => {
    const client = world.client(options)
    const [first] = (await client.cdrs()).items
    const lists = [client.cdrs(), client.agents()]
    const details = [
      client.cdr(first?.id ?? ''),
      client.agent('1002'),
      client.preview('7'),
      client.kind('crm', 'note', '9'),
    ]
    const texts = (await Promise.all([...lists, ...details])).map((answer) => JSON.stringify(answer))
    return texts.filter((text) => text.includes(number))
  }
  for (const options of [{ masked: true }, { token: MASKED }]) expect(await read(options)).toEqual([])
  expect(await read({})).toHaveLength(6)
})

it('a search by number or contact puts neither in a URL or cursor, and is masked like any read', async () => {
  const world = await useServedApi()
  await world.commit(...Array.from({ length: 5 }, (_, at) => cdrOf(1234560 + at, { contact_ref: 'CONTACT-77' })))
  const { sent, ...client } = world.client({ masked: true })
  const found: (string | null)[] = []
  for (const wanted of [
    { number: '27821234562' },
    { contact: 'none' },
    { number: '27821234562', limit: 1 },
    { contact: 'CONTACT-77', limit: 2 },
  ])
    for await (const { number } of allItems(client.cdrs, wanted)) found.push(number)
  expect(found).toEqual(Array.from({ length: 7 }, () => expect.stringContaining('***') as string))
  expect(sent.map(({ path }) => path)).toEqual(sent.map(() => '/cdrs/search'))
  for (const { url, init } of sent) {
    expect(new URL(url).search).toBe('?masked=true')
    const { cursor } = JSON.parse(init.body as string) as { cursor?: string }
    expect(`${cursor} ${Buffer.from(cursor ?? '', 'base64url').toString()}`).not.toMatch(/1234562|CONTACT/)
  }
})

it('gaps, relays and notifications without a route are read', async () => {
  const world = await useServedApi()
  const [from, to] = [new Date(BASE_MS).toISOString(), new Date(BASE_MS + 1).toISOString()]
  await world.commit(
    relayAlive(notice({ relay: 'relay-1', sources: ['main'], started: from }, { transport: 'relay' })),
    relayGap(
      notice(
        { relay: 'relay-1', source: 'main', from, to, cause: 'reconnect', patterns: ['x'] },
        { transport: 'relay' },
      ),
    ),
    other(notice({}, { type: 'unknown', subType: 'unknown', data: 'x' })),
  )
  const client = world.client()
  expect((await client.relays()).items).toMatchObject([{ relay: 'relay-1' }])
  expect((await client.gaps()).items).toMatchObject([{ cause: 'reconnect' }])
  expect((await client.other()).items).toHaveLength(1)
})
