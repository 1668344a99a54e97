import { APPLY } from '../../src/store/steps.ts'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  formatEvent,
  formatTraceparent,
  readBody,
  toSourceId,
  type AgentCall,
  type Cdr,
  type Notification,
  type RelayGap,
} from '../../src/protocol/index.ts'
import { parseCdrEntry } from '../../src/store/cdr-record.ts'
import * as readModel from '../../src/store/index.ts'
import {
  agentCall,
  agentStats,
  agentStatus,
  audit,
  campaignStats,
  campaignStatus,
  cdr,
  claimEntries,
  deleteEntries,
  driveReplay,
  leaveReplay,
  dialerStatus,
  dialPreview,
  latest,
  noteSent,
  other,
  relayAlive,
  relayGap,
  relayParked,
  restoreEntries,
  selectEntries,
  startReplay,
  stopReplay,
  type AgentFilter,
  type Reads,
  type StoreEvent,
} from '../../src/store/index.ts'
import { BASE_MS, toEvent } from '../store/events.ts'
import { toBackends, useReadModel, type Database } from '../support/read-model.ts'
import {
  CLOCK,
  CONTRACTS,
  gap,
  idOf,
  iso,
  look,
  NOTHING,
  NOW,
  PACKET,
  parked,
  status,
  tried,
  unknown,
} from './read-model-effects.ts'

/* The contract of the read model: one suite for every database that it can run on. */

const DONE = new Map<string, string[]>()
const ALL = Object.values(CONTRACTS).flatMap(({ effects }) => effects)
const READS = Object.values(CONTRACTS).flatMap(({ reads }) => reads)

/** Known defects: a commit that fails at these keys stays incomplete or stores its point twice, even if it is repeated. */
const NOT_WHOLE: Readonly<Record<string, RegExp>> = {
  // The point is appended to its series before the document that records it.
  agentStats: /^(agents|agents_heard|changes)$/,
  campaignStats: /^(campaigns|campaigns_heard|changes)$/,
}

/** Exports of the read model besides its effects. */
const NOT_EFFECTS = [
  'EffectError',
  'StoreError',
  'checkEffect',
  'createStore',
  'createStoreWriter',
  'formatCursor',
  'parsePlace',
  'step',
  'toChange',
  'toStamp',
]

/** What parked notifications and replays need; one test has all of it. */
const OF_REPLAYS = {
  effects: [
    'audit',
    'claimEntries',
    'deleteEntries',
    'driveReplay',
    'leaveReplay',
    'noteSent',
    'restoreEntries',
    'selectEntries',
    'settleEntry',
    'startReplay',
    'stopReplay',
  ],
  steps: [
    'attempt',
    'audit',
    'bin',
    'claim',
    'drive',
    'leave',
    'park',
    'replay',
    'replayed',
    'restore',
    'select',
    'sent',
    'stop',
  ],
  reads: [
    'audit',
    'bin',
    'cdrMessages',
    'changes',
    'findCdrs',
    'findParked',
    'openEntries',
    'parked',
    'parkedCounts',
    'parkedEntry',
    'parkedGroups',
    'parkedMessages',
    'placesOf',
    'replay',
    'replayDetail',
    'replayPlan',
    'replayProgress',
    'replays',
    'replaysOfRelays',
  ],
}

const EVENT: Notification = {
  id: 'main/p/1/1',
  source: '/enigma/main',
  type: 'enigma.agents.call',
  subject: '1002',
  time: '2026-01-31T08:00:00.000Z',
  datacontenttype: 'application/json',
  data: '{}',
  transport: 'pubsub',
  channel: 'enigma:notifications:agents:1002',
  sequence: '1',
}

/** A name beyond Upstash's limit for keys, members and fields (32 KB). */
const long = (what: string) => `${what}-é-${'x'.repeat(33_000)}`

/** The items of all pages. */
async function allPages<T>(
  readPage: (page: {
    readonly limit: number
    readonly cursor: string | undefined
  }) => Promise<{ items: T[]; next: string | null }>,
): Promise<T[]> {
  const items: T[] = []
  for (let cursor: string | undefined; ;) {
    const page = await readPage({ limit: 10, cursor })
    items.push(...page.items)
    if (page.next === null) return items
    cursor = page.next
  }
}

describe.each(toBackends(process.env))('the read model on $name', ({ start }) => {
  let database: Database
  beforeAll(async () => {
    database = await start()
    return database.stop
  })
  const use = (options: Parameters<typeof useReadModel>[1] = CLOCK) => useReadModel(database, options)

  test.each(Object.entries(CONTRACTS))(
    '%s: reads return exactly what was written, every key expires, and repeated commits change nothing',
    async (_, { effects, reads }) => {
      const { store, findLasting, run } = use()
      const all = () => Promise.all(reads.map((one) => look(store.read, one)))
      expect(await all()).toEqual(reads.map(({ name }) => NOTHING[name]))
      const found = reads.map((one) => one.found)
      await store.commit({ effects, done: DONE })
      expect(await all()).toEqual(found)
      await store.commit({ effects, done: DONE })
      await store.commit({ effects: effects.toReversed(), done: DONE })
      expect(await all()).toEqual(found)
      expect(await run('XLEN', 'changes')).toBe(1)
      // It counts all notifications without a route since the beginning.
      expect((await findLasting()).filter((key) => key !== 'other_counts')).toEqual([])
    },
  )

  test.each(Object.entries(CONTRACTS))(
    '%s: a commit overwrites a document of the wrong type, fails at any other key of the wrong type, and is complete when repeated',
    async (effect, { effects, reads }) => {
      const { store, open, run, findKeys } = use()
      await run('SET', 'cdr_secret', 'secret', 'EX', '1000')
      await store.commit({ effects, done: DONE })
      const [nothing, found] = [reads.map(({ name }) => NOTHING[name]), reads.map((one) => one.found)]
      const judge = async (key: string, index: number) => {
        const [type, own] = [await run('TYPE', key), `${index}:`]
        const { commit, read } = open(own)
        const all = () => Promise.all(reads.map((one) => look(read, one).catch(toWords)))
        const toWords = (error: unknown) => /\bWRONGTYPE\b/.exec(String(error))?.[0] ?? error
        await run('SET', `${own}cdr_secret`, 'secret', 'EX', '1000')
        await run('DEL', own + key)
        await (type === 'string'
          ? run('HSET', own + key, 'of', 'another form')
          : run('SET', own + key, 'of another form'))
        const before = await all()
        // A document is read as none; only a list, a set or a hash of the wrong type fails the reads that need it.
        if (type !== 'string')
          for (const [at, answer] of before.entries()) if (answer === 'WRONGTYPE') before[at] = nothing[at]
        expect([key, before]).toEqual([key, nothing])
        const outcome = await commit({ effects, done: DONE }).catch(toWords)
        const isDocument = type === 'string' && key !== 'cdr_secret'
        expect([key, outcome]).toEqual([key, isDocument ? undefined : 'WRONGTYPE'])
        if (outcome !== undefined) {
          await run('DEL', own + key)
          if (key === 'cdr_secret') await run('SET', own + key, 'secret', 'EX', '1000')
          await commit({ effects, done: DONE })
        }
        const isWhole = NOT_WHOLE[effect]?.test(key) !== true
        expect([key, await all()]).toEqual(isWhole ? [key, found] : [key, expect.not.arrayContaining(found)])
      }
      const keys = (await findKeys()).filter((key) => key !== 'cdr_secret' || effect === 'cdr')
      await Promise.all(keys.map(judge))
    },
  )

  test('a commit that is rejected for one step writes no document, index or register', async () => {
    const { store, findKeys } = use()
    const fine = ['agentStatus', 'agentCall', 'campaignStatus', 'latest', 'relayAlive'] as const
    const effects = fine.flatMap((name) => CONTRACTS[name]?.effects ?? [])
    const wrong = { steps: effects.at(-1)?.steps.map((one) => ({ ...one, rest: ['more'] })) ?? [] }
    await expect(store.commit({ effects: [...effects, wrong], done: DONE })).rejects.toMatchObject({
      code: 'store.upstash.refused',
      message: expect.stringContaining('alive does not take 6 arguments') as string,
    })
    expect(await findKeys()).toEqual([])
  })

  test('an unknown script is rejected with NOSCRIPT, which makes the store send it again', async () => {
    await expect(use().runUnknownScript()).rejects.toThrow(/^[^[]{0,40}\bNOSCRIPT\b/)
  })

  test('recall returns the finished parts of each message, however often they were committed', async () => {
    const { store, findLasting } = use()
    const done = new Map([
      ['m1', ['a', 'é 😀']],
      ['m2', ['c']],
    ])
    for (let n = 0; n < 2; n++) await store.commit({ effects: [], done })
    expect(await store.recall(['m1', 'm2', 'm3'])).toEqual(
      new Map([
        ['m1', new Set(['a', 'é 😀'])],
        ['m2', new Set(['c'])],
        ['m3', new Set()],
      ]),
    )
    expect(await store.recall([])).toEqual(new Map())
    expect(await findLasting()).toEqual([])
  })

  test('one commit with 50 effects of each kind: pages return each once and in order', async () => {
    const { store } = use()
    const refs = Array.from({ length: 50 }, (_, n) => String(1_000 + n))
    const effects = refs.flatMap((ref, n) => [
      status(n % 2 === 0 ? 'busy' : 'offline', n, ref),
      campaignStatus(toEvent('campaigns', 'status', ref, { status: 'started' }, n)),
      tried(NOW + n, PACKET.replace('12345678901234567890', ref)),
      gap(n),
      parked('parked', n, n),
      unknown(n, ref),
    ])
    await store.commit({ effects, done: DONE })
    const newest = refs.toReversed()
    const { read } = store
    expect((await allPages(read.agents)).map(({ ref }) => ref)).toEqual(refs)
    const busy = await allPages(async (page) => {
      const found = await read.agents({ ...page, status: 'busy' })
      expect(found.counts).toEqual({ busy: 25, offline: 25 })
      return found
    })
    expect(busy.map(({ ref }) => ref)).toEqual(refs.filter((_, n) => n % 2 === 0))
    expect((await allPages(read.campaigns)).map(({ ref }) => ref)).toEqual(['c1', ...refs].toSorted())
    const cdrs = await allPages((page) => read.cdrs({ ...page, contact: 'k1' }))
    // They have one `dialed_at`, so they are in the order of their ids, which are digests.
    expect(cdrs.map(({ call_ref }) => call_ref ?? '').toSorted()).toEqual(refs)
    expect((await allPages(read.gaps)).map(({ to }) => to)).toEqual(newest.map((_, n) => iso(49 - n)))
    expect((await allPages(read.parked)).map(({ parked_at }) => parked_at)).toEqual(newest.map((_, n) => iso(49 - n)))
    expect((await allPages(read.other)).map(({ text }) => text)).toEqual(newest)
    const pages = [read.agents, read.campaigns, read.cdrs, read.gaps, read.parked, read.other]
    for (const readPage of pages)
      await expect(readPage({ cursor: '%%%' })).rejects.toMatchObject({ code: 'store.cursor.invalid' })
  })

  test('a preview of 3 MiB is stored in parts that fit into requests, and returned whole', async () => {
    const { store } = use()
    const callees = Array.from({ length: 45_000 }, (_, index) => ({
      number: `2782${String(index).padStart(7, '0')}`,
      contact_ref: `contact-é-😀-"${index}"`,
      extra: 'x'.repeat(10),
    }))
    expect(JSON.stringify(callees).length).toBeGreaterThan(3 * 1024 * 1024)
    await store.commit({
      effects: [dialPreview(toEvent('campaigns', 'dial_preview', '12', { callees }, 1))],
      done: DONE,
    })
    expect((await store.read.preview('12'))?.callees).toEqual(callees)
  })

  test('references and payloads keep digits beyond 2^53, separator characters and empty values', async () => {
    const { store } = use()
    const ref = '9007199254740993:a/b 😀'
    const separators = '\u001e\u001f|'
    const note = (reference: string | undefined, payload: unknown) =>
      latest(toEvent('crm', 'note', reference, payload, 1, { id: `main/p/1/${reference?.length}`, data: '' }))
    const busy = { status: 'busy', campaign_ref: '12345678901234567891' }
    await store.commit({
      effects: [
        agentStatus(toEvent('agents', 'status', ref, busy, 1)),
        note(undefined, undefined),
        note(separators, 9_007_199_254_740_993n),
        note(ref, ['\u001f']),
      ],
      done: DONE,
    })
    expect((await store.read.agents()).items).toMatchObject([{ ref, states: [{ campaign_ref: busy.campaign_ref }] }])
    const payloads = await Promise.all(
      ['', separators, ref].map(async (one) => (await store.read.kind('crm', 'note', one))?.latest.payload),
    )
    expect(payloads).toEqual([null, '9007199254740993', ['\u001f']])
  })

  test('texts keep their byte order marks', async () => {
    const { store } = use()
    const marked = ['\ufeff', '\ufeff{"type":"x"}', '\ufeff\ufeffx', 'x\ufeff']
    await store.commit({
      effects: marked.flatMap((text, at) => [
        unknown(at, text),
        agentStatus(toEvent('agents', 'status', text, { status: text }, at)),
      ]),
      done: new Map([['m', marked]]),
    })
    expect((await store.read.other()).items.map(({ text }) => text)).toEqual(marked.toReversed())
    const { items } = await store.read.agents()
    expect(items.map(({ ref }) => ref).toSorted()).toEqual(marked.toSorted())
    for (const { ref, states } of items) expect(states).toMatchObject([{ status: ref }])
    expect((await store.recall(['m'])).get('m')).toEqual(new Set(marked))
  })

  test("a CDR keeps the packet's own text and its event's attributes", async () => {
    const { store, findKeys, run } = use()
    const usual: Notification = {
      id: 'main/l/1764000000000/17',
      source: '/enigma/main',
      type: 'enigma.campaigns.cdr',
      time: '2025-11-24T16:00:00.250Z',
      datacontenttype: 'application/json',
      transport: 'list',
      channel: 'enigma:notifications:campaigns',
      sequence: '0001764000000000.0000000017',
      traceparent: formatTraceparent('main', 'list', 1_764_000_000_000, 17),
      maxwaitms: 12,
      data: PACKET,
    }
    const foreign: Notification = {
      ...usual,
      id: 'abc',
      source: 'urn:other',
      subject: 'c9',
      time: '2025-11-24T18:00:00+02:00',
      channel: 'enigma:notifications:cdr',
      sequence: '4',
      traceparent: undefined,
    }
    for (const event of [usual, foreign]) {
      const { data: _, ...attributes } = event
      const own = { ...event, timeMs: Date.parse(event.time), source: toSourceId(event.source), attributes }
      await store.commit({ effects: [tried(0, PACKET, { ...own, reference: event.subject })], done: DONE })
    }
    const keys = (await findKeys()).filter((key) => key.startsWith('cdr:'))
    const events = await Promise.all(keys.map(async (key) => parseCdrEntry(String(await run('GET', key))).event))
    const { traceparent: _, ...expected } = foreign
    expect(events.toSorted((a, b) => (a.id < b.id ? -1 : 1))).toEqual([expected, usual])
  })

  test('agents are filtered by campaign, status and unsure of one of their states, and counted by status', async () => {
    const { store } = use()
    const ofAgent = (ref: string, word: string, campaign: string, at = 1) =>
      agentStatus(toEvent('agents', 'status', ref, { status: word, campaign_ref: campaign }, at))
    await store.commit({
      effects: [
        ofAgent('1', 'busy', 'c1'),
        ofAgent('2', 'available', 'c1'),
        ofAgent('2', 'busy', 'c2'),
        ofAgent('3', 'busy', 'c1', 9),
        gap(5),
      ],
      done: DONE,
    })
    const find = async (filter: AgentFilter) => {
      const { items, counts } = await store.read.agents(filter)
      return [items.map(({ ref }) => ref), counts]
    }
    expect(await find({})).toEqual([['1', '2', '3'], undefined])
    expect(await find({ counts: true })).toEqual([['1', '2', '3'], { busy: 3, available: 1 }])
    expect(await find({ campaign: 'c1' })).toEqual([['1', '2', '3'], { busy: 2, available: 1 }])
    // Busy in the other campaign does not count here.
    expect(await find({ campaign: 'c1', status: 'busy' })).toEqual([['1', '3'], { busy: 2, available: 1 }])
    expect(await find({ unsure: true })).toEqual([['1', '2'], { busy: 2, available: 1 }])
    expect(await find({ unsure: false, status: 'busy' })).toEqual([['3'], { busy: 1 }])
    expect(await find({ campaign: 'nowhere' })).toEqual([[], {}])
  })

  test('each commit that changes something adds one entry to the stream of changes, without personal data', async () => {
    const { store, run } = use()
    const names = ['agentStatus', 'campaignStatus', 'cdr'] as const
    const effects = names.flatMap((name) => CONTRACTS[name]?.effects.slice(1) ?? [])
    await store.commit({ effects, done: DONE })
    const entries = (await run('XRANGE', 'changes', '-', '+')) as [string, string[]][]
    const [field, changes = ''] = entries[0]?.[1] ?? []
    expect([field, entries.length]).toEqual(['changes', 1])
    expect(JSON.parse(changes)).toMatchObject([
      { kind: 'agents/status', ref: '1002', campaign_ref: 'c1', state: 'wrapup', notification_id: idOf(2) },
      { kind: 'campaigns/status', ref: 'c1', state: 'stopped', source: 'main', transport: 'pubsub' },
      { kind: 'campaigns/cdr', ref: 'c1', state: 'hungup', notification_id: idOf(NOW + 2, 'l') },
    ])
    expect(changes).not.toMatch(/27821234567|k1/)
    // An older status is no change: the entry names only the document, which the wall reads.
    await store.commit({ effects: [status('busy', 1)], done: DONE })
    await store.commit({ effects: [status('busy', 1)], done: DONE })
    const more = ((await run('XRANGE', 'changes', '-', '+')) as [string, string[]][]).slice(1)
    expect(more.map(([, fields]) => fields)).toEqual([['changes', '[]', 'documents', 'agent:1002']])
  })

  test('relays are listed with the last time that they were ready, for 30 days', async () => {
    const { store } = use()
    const alive = (relay: string, at: number, started = iso(0)) =>
      relayAlive(toEvent('relay', 'alive', relay, { relay, sources: ['main'], started }, at, { transport: 'relay' }))
    await store.commit({ effects: [alive('gone', -31 * 24 * 3600)], done: DONE })
    await store.commit({
      effects: [alive('b', 10), alive('a', 20), alive('b', 70), alive('b', 10), alive('b', 40, 'nonsense')],
      done: DONE,
    })
    const own = { sources: ['main'], lists: [], started_at: iso(0) }
    expect(await store.read.relays()).toEqual([
      { relay: 'a', ...own, ready_at: iso(20) },
      { relay: 'b', ...own, ready_at: iso(70) },
    ])
  })

  test('names longer than a key, a field or a member may be are kept and found', async () => {
    const { store, findLasting } = use()
    const [agent, campaign, contact, number, reason] = ['agent', 'campaign', 'contact', 'number', 'reason'].map(
      long,
    ) as [string, string, string, string, string]
    let at = 0
    const event = <P>(
      type: string,
      subType: string,
      ref: string | undefined,
      payload: P,
      own: Partial<StoreEvent> = {},
    ) => toEvent(type, subType, ref, payload, ++at, { id: long(`main/p/1/${at}`), ...own })
    const triedWithLongNames = (own: Partial<Cdr>) => {
      const payload = {
        call_ref: long('call'),
        dialed_at: BASE_MS / 1000,
        ref: campaign,
        extension: agent,
        number,
        ...own,
      }
      return cdr(event('campaigns', 'cdr', undefined, { ...payload, contact_ref: contact, end_reason: reason }))
    }
    const call = { ref: agent, call_ref: long('present'), contact_ref: contact, number } as AgentCall
    await store.commit({
      effects: [
        agentStatus(event('agents', 'status', agent, { status: long('word'), campaign_ref: campaign })),
        agentStatus(event('agents', 'status', agent, { status: 'busy', campaign_ref: campaign })),
        agentCall(event('agents', 'call', agent, call)),
        agentStats(event('agents', 'stats', agent, { campaign_ref: campaign, calls: 1, [long('counter')]: 2 })),
        campaignStatus(event('campaigns', 'status', campaign, { status: long('word') })),
        campaignStats(event('campaigns', 'stats', campaign, { total_calls: 1, [long('counter')]: 2 })),
        dialerStatus(event('dialers', 'status', long('dialer'), { status: long('word') })),
        dialPreview(event('campaigns', 'dial_preview', campaign, { callees: [{ number, contact_ref: contact }] })),
        other(event('agents', long('type'), undefined, undefined)),
        relayAlive(event('relay', 'alive', 'main', { relay: long('relay'), sources: ['main'], started: '' })),
        relayGap(
          event<RelayGap>('relay', 'gap', long('source'), {
            source: long('source'),
            relay: 'r',
            from: '',
            to: '',
            cause: 'start',
            patterns: [],
            route: long('route'),
          }),
        ),
        relayParked(
          event('relay', 'parked', 'main', {
            id: long('parked'),
            source: 'main',
            route: 'agents-call',
            type: 'enigma.agents.call',
            reason: 'refused',
            detail: '',
            received: '',
            parkedat: '',
            bytes: 1,
            state: 'parked',
          }),
        ),
        triedWithLongNames({}),
        triedWithLongNames({ call_time: 9, recording_url: long('url') }),
      ],
      done: new Map([['message', ['a']]]),
    })

    const [listed] = (await store.read.agents()).items
    expect(listed).toMatchObject({ ref: agent, states: [{ campaign_ref: campaign, status: 'busy' }] })
    expect(await store.read.agent(agent)).toMatchObject({
      call: { call_ref: long('present'), contact_ref: contact },
      calls: [{ number }],
      stats: [{ campaign_ref: campaign, values: { calls: 1, [long('counter')]: 2 }, series: [{}] }],
    })
    expect((await store.read.campaigns()).items).toMatchObject([{ ref: campaign, status: long('word').slice(0, 200) }])
    expect(await store.read.campaign(campaign)).toMatchObject({
      history: [{ status: long('word').slice(0, 200) }],
      stats: [{ values: { total_calls: 1 } }],
      counts: [{ count: 1 }],
    })
    expect(await store.read.preview(campaign)).toMatchObject({ callees: [{ number, contact_ref: contact }] })
    expect(await store.read.dialers()).toMatchObject([{ ref: long('dialer') }])
    expect((await store.read.other()).items).toMatchObject([
      { type: `agents/${long('type')}`, text: expect.any(String) },
    ])
    expect((await store.read.parked()).items).toMatchObject([{ notification_ids: [long('parked')] }])
    expect((await store.read.gaps({ source: long('source') })).items).toMatchObject([{ route: long('route') }])
    expect(await store.read.relays()).toMatchObject([{ relay: long('relay') }])
    for (const filter of [{}, { campaign }, { agent }, { contact }, { number }, { endReason: reason }]) {
      const { items } = await store.read.cdrs(filter)
      expect(items).toMatchObject([{ call_ref: long('call'), revised: true }])
      expect(items[0]?.id.length).toBeLessThan(100)
      expect(await store.read.cdr(items[0]?.id ?? '')).toMatchObject({ call_time: 9, revisions: [{ call_time: null }] })
    }
    expect(await findLasting()).toEqual(['other_counts'])
  })

  test('parked notifications and replays: each step may be repeated, and reads return exactly what was written', async () => {
    const { store, findLasting, findKeys, run } = use()
    const used = new Set<string>()
    const read = new Proxy(store.read, { get: (reads, name: keyof Reads) => (used.add(name), reads[name]) })
    const commit = async (batch: Partial<Parameters<typeof store.commit>[0]>) => {
      for (let n = 0; n < 2; n++) await store.commit({ effects: [], done: DONE, ...batch })
    }
    const event = { ...EVENT, data: '{"é":"😀"}', time: iso(1), maxwaitms: 4_000 }
    const about = {
      route: 'agents-call',
      attempts: 2,
      eventSourceARN: 'arn:aws:sqs:eu-west-1:1:enigma-agents-call.fifo',
    }
    const failed = [{ messageId: 'm1', attempt: 1, reason: '503: é|\u001f', status: 503, keys: ['other', 'k1'] }]
    const one = { ...about, key: 'k1', notification: event, reason: '422: no', status: 422, handler: 'agents/call' }
    const unreadable = { ...about, body: 'no event 😀', contentEncoding: 'gzip', reason: 'not gzip', messageId: 'm2' }
    await commit({ failed })
    await commit({
      parked: [{ ...one, messageId: 'm1', messageGroupId: '17', firstReceivedAt: iso(1) }, unreadable],
    })
    const common = { from: 'functions', route: 'agents-call', detail: null, attempts: 2, parked_at: iso(NOW) }
    const [first, second] = (await read.parked({ status: 422 })).items.concat((await read.parked()).items.slice(0, 1))
    const whole = {
      ...common,
      id: expect.stringMatching(/^[0-9a-f]{20}$/) as string,
      notification_ids: [event.id],
      source: 'main',
      type: event.type,
      subject: '1002',
      reason: '422: no',
      status: 422,
      handler: 'agents/call',
      received_at: event.time,
      first_attempt_at: iso(1),
      bytes: formatEvent(event).length,
      message_id: 'm1',
      stale_at: iso(1 - 4 + 30),
      replay: null,
      replays: 0,
      expires_at: iso(NOW + 30 * 24 * 3600),
    }
    expect(first).toEqual(whole)
    expect(second).toMatchObject({ ...common, notification_ids: [], reason: 'not gzip', bytes: 13, message_id: 'm2' })
    const [id = '', otherId = ''] = [first?.id, second?.id]
    expect(await read.parkedEntry(id)).toEqual({
      ...whole,
      failed_attempts: [
        { at: iso(NOW), attempt: 1, status: 503, reason: '503: é| ' },
        { at: iso(NOW), attempt: 2, status: 422, reason: '422: no' },
      ],
      lane: { ids: [id], total: 1 },
    })
    expect(await read.parkedEntry('none')).toBeNull()
    const [message, broken] = await read.parkedMessages([id, 'none', otherId])
    expect(await readBody(message?.body ?? '', message?.contentEncoding)).toEqual([event])
    expect(message).toMatchObject({ id, queue: 'enigma-agents-call.fifo', messageGroupId: '17' })
    expect(broken).toEqual({
      id: otherId,
      route: 'agents-call',
      queue: 'enigma-agents-call.fifo',
      body: 'no event 😀',
      contentEncoding: 'gzip',
      messageGroupId: otherId,
    })
    expect(await read.findParked({ route: 'agents-call' }, '')).toEqual({ ids: [id, otherId], place: null })
    expect(await read.findParked({ untilMs: BASE_MS }, '')).toEqual({ ids: [], place: null })

    const causes = { from: 'functions', route: 'agents-call', count: 1, first: iso(NOW), last: iso(NOW) }
    const groups = [
      { ...causes, cause: 'not gzip', status: null, example: otherId },
      { ...causes, cause: '422: no', status: 422, example: id },
    ]
    const queue = { route: 'agents-call', count: 2, oldest: iso(NOW), next_expiry: whole.expires_at }
    const byCause = await read.parkedGroups()
    expect(byCause).toEqual({ groups: expect.any(Array) as unknown, queues: [queue], matching: 2, complete: true })
    expect(byCause.groups).toEqual(expect.arrayContaining(groups))
    expect(await read.parkedGroups({ reference: '1002' })).toMatchObject({ groups: [groups[1]], matching: 1 })
    expect(await read.parkedGroups({ notification: 'main/p/1/2' })).toMatchObject({ groups: [], matching: 0 })

    expect(await read.parkedCounts(30 * 24 * 3_600_000)).toEqual({ parked: 2, expiring: 0 })

    // Deleted, and taken out of the bin, byte for byte.
    const before = await read.parkedMessages([id, otherId])
    await commit({ effects: [deleteEntries([id, otherId, 'none'], 'jane', BASE_MS + NOW * 1000)] })
    expect([(await read.parked()).items, await read.placesOf([id, 'none'])]).toEqual([[], ['bin', null]])
    expect(await read.findParked({}, '')).toEqual({ ids: [], place: null })
    const binned = { deleted_at: iso(NOW), deleted_by: 'jane', expires_at: iso(NOW + 7 * 24 * 3600) }
    expect((await read.bin()).items).toEqual(
      expect.arrayContaining([{ ...whole, ...binned }, expect.objectContaining({ id: otherId, ...binned })]),
    )
    expect(await read.replayPlan({ ids: [id] })).toMatchObject({ total: 0, skipped: 1 })
    await commit({ effects: [restoreEntries([otherId, id])] })
    expect(await read.placesOf([id, otherId])).toEqual(['parked', 'parked'])
    expect([await read.parkedMessages([id, otherId]), (await read.bin()).items]).toEqual([before, []])
    expect((await read.parkedEntry(id))?.lane).toEqual({ ids: [id], total: 1 })
    const line = { id: 'a1', at: iso(NOW), operator: 'jane', action: 'delete', what: 'ids', count: 2 }
    await commit({ effects: [audit(line)] })
    expect(await read.audit()).toEqual({ items: [line], next: null })
    expect(await read.replayPlan({ filter: {} })).toEqual({
      total: 2,
      routes: { 'agents-call': 2 },
      relay: 0,
      // The unreadable message has no time of its own, so only the call can be stale.
      stale: 1,
      outdated: 0,
      replayed_before: 0,
      skipped: 0,
      complete: true,
    })

    const asked = { operator: 'jane', created_at: iso(NOW), rate: 5, filter: null }
    const byFilter = { ...asked, created_at: iso(NOW + 1), filter: { route: 'agents-call', untilMs: BASE_MS } }
    const shown = { cdrs: null, relay: 0, waits_for: null }
    const replay = async (name: string) => (await read.replay(name))?.counts
    const counts = { waiting: 0, sent: 0, handled: 0, failed_again: 0, skipped: 0 }
    await commit({ effects: [startReplay('r1', asked, [otherId, id, id]), startReplay('r2', byFilter)] })
    expect(await read.replays()).toEqual({
      items: [
        { id: 'r2', ...byFilter, ...shown, filter: { route: 'agents-call', until: iso(0) }, state: 'running', counts },
        { id: 'r1', ...asked, ...shown, state: 'running', counts: { ...counts, waiting: 2 } },
      ],
      next: null,
    })
    await commit({ effects: [claimEntries('r1', 1)] })
    expect(await read.replayProgress('r1')).toMatchObject({ sending: [id], round: '1', place: null, steps: 3 })
    await commit({ effects: [selectEntries('r2', '', 'there', [id]), selectEntries('r2', 'there', null, [otherId])] })
    await commit({ effects: [claimEntries('r2', 9)] })
    expect(await replay('r2')).toEqual({ ...counts, sent: 1, skipped: 1 })
    await commit({ effects: [noteSent('r1', '1'), noteSent('r2', '1')] })
    await commit({ effects: [claimEntries('r1', 1)] })
    expect(await replay('r1')).toEqual({ ...counts, sent: 1, skipped: 1 })
    expect((await read.parked()).items.map((item) => item.replay)).toEqual(['r2', 'r1'])
    // One fails again; the other is handled, and leaves only a mark.
    const again = { job: 'r1', entry: id }
    await commit({
      parked: [{ ...one, reason: '409: no', status: 409, messageId: 'm3', replay: again }],
      replayed: [
        { ...again, hasFailed: true, messageId: 'x' },
        { job: 'r2', entry: otherId, hasFailed: false, messageId: 'x' },
      ],
    })
    expect([await replay('r1'), await replay('r2')]).toEqual([
      { ...counts, failed_again: 1, skipped: 1 },
      { ...counts, handled: 1, skipped: 1 },
    ])
    const outcomes = async (job: string, page = {}) => (await read.replayDetail(job, page))?.messages
    expect(await outcomes('r1')).toEqual({
      items: [
        { id, outcome: 'failed_again', reason: '409: no' },
        { id: otherId, outcome: 'skipped', reason: 'another replay sends it' },
      ],
      next: null,
    })
    expect((await outcomes('r1', { limit: 1 }))?.next).toEqual(expect.any(String))
    expect(await outcomes('r2')).toMatchObject({ items: [{ outcome: 'skipped' }, { id: otherId, outcome: 'handled' }] })
    expect(await read.replayDetail('none')).toBeNull()
    expect(await read.replayPlan({ ids: [id, otherId] })).toMatchObject({ total: 1, replayed_before: 1, skipped: 1 })
    expect((await read.parkedEntry(id))?.failed_attempts.map((attempt) => attempt.status)).toEqual([503, 422, 409])
    expect(await read.parked()).toMatchObject({
      items: [{ id, reason: '409: no' }],
      relay: { total: 0 },
      functions: { total: 1 },
    })
    expect(await read.parkedMessages([otherId])).toEqual([])
    await commit({ effects: [startReplay('r3', asked, [id]), stopReplay('r3'), claimEntries('r3', 1)] })
    expect(await read.replay('r3')).toMatchObject({ state: 'stopped', counts: { waiting: 1, sent: 0 } })
    expect((await read.replay('r1'))?.state).toBe('done')
    // CDRs are sent again as they came, oldest first.
    await commit({
      effects: [tried(NOW + 1, PACKET), tried(NOW + 2, PACKET.replace(/"call_ref":"?\d+"?/, '"call_ref":"17"'))],
    })
    const cdrs = { route: 'campaigns-cdr', campaign: 'c1' }
    const found = await read.findCdrs(cdrs, '')
    expect([found.ids.length, found.place]).toEqual([2, null])
    const planned = { ...(NOTHING['replayPlan'] as object), total: 2, routes: { 'campaigns-cdr': 2 } }
    expect(await read.replayPlan({ cdrs })).toEqual(planned)
    const { cursor: beforeOutcomes } = await read.changes()
    await commit({ effects: [startReplay('r4', { ...asked, cdrs }), selectEntries('r4', '', null, found.ids)] })
    await commit({ effects: [claimEntries('r4', 9)] })
    const sent = await read.cdrMessages(found.ids, { route: 'campaigns-cdr', queue: 'q', lanes: 64 })
    expect(sent.map((sentMessage) => [sentMessage.id, sentMessage.queue])).toEqual(
      found.ids.map((foundId) => [foundId, 'q']),
    )
    const events = (await Promise.all(sent.map(({ body, contentEncoding }) => readBody(body, contentEncoding)))).flat()
    expect(new Set(events.map((sentEvent) => sentEvent.id))).toEqual(new Set([idOf(NOW + 1, 'l'), idOf(NOW + 2, 'l')]))
    expect(events.find((sentEvent) => sentEvent.id === idOf(NOW + 1, 'l'))?.data).toBe(PACKET)
    await commit({
      replayed: [
        { job: 'r4', entry: found.ids[0] ?? '', hasFailed: false, messageId: 'x' },
        { job: 'r4', entry: found.ids[1] ?? '', hasFailed: true, messageId: 'x' },
      ],
      effects: [noteSent('r4', '1')],
    })
    // The outcomes change no CDR and no parked entry.
    expect((await read.changes({ after: beforeOutcomes })).items).toMatchObject([
      { type: 'replays', ref: 'r4', state: 'handled' },
      { type: 'replays', ref: 'r4', state: 'failed_again' },
    ])
    expect(await read.replay('r4')).toMatchObject({
      state: 'done',
      cdrs: { route: 'campaigns-cdr', campaign: 'c1' },
      counts: { ...counts, handled: 1, failed_again: 1 },
    })
    // Relays run a replay, one relay at a time. A notification received over HTTP has no queue.
    const { eventSourceARN: _none, ...byHttp } = one
    await commit({ parked: [{ ...byHttp, key: 'k2', messageId: 'k2', messageGroupId: '17' }] })
    const third = (await read.parked()).items.find(({ message_id: from }) => from === 'k2')?.id ?? ''
    expect(await read.parkedMessages([third])).toEqual([
      { id: third, route: 'agents-call', body: expect.any(String) as unknown, messageGroupId: '17' },
    ])
    await commit({ effects: [startReplay('r5', { ...asked, by: 'relay' }, [third])] })
    expect((await read.replay('r5'))?.waits_for).toBe('relay')
    await commit({ effects: [driveReplay('r5', 'a', 60_000), driveReplay('r5', 'b', 60_000), claimEntries('r5', 1)] })
    expect(await read.replaysOfRelays()).toMatchObject([
      {
        id: 'r5',
        progress: {
          driver: 'a',
          drivenUntilMs: BASE_MS + (NOW + 60) * 1000,
          sending: [third],
          isOpen: true,
          isOfRelays: true,
        },
      },
    ])
    expect((await read.replay('r5'))?.waits_for).toBeNull()
    expect(await read.openEntries('r5', [third, 'none'])).toEqual([third, 'none'])
    await commit({
      replayed: [{ job: 'r5', entry: third, hasFailed: false, messageId: 'x' }],
      effects: [noteSent('r5', '1')],
    })
    expect(await read.openEntries('r5', [third])).toEqual([])
    expect(await read.replay('r5')).toMatchObject({ state: 'done', waits_for: null })
    await commit({ effects: [leaveReplay('r5')] })
    expect(await read.replaysOfRelays()).toEqual([])
    // Each of these documents is read as none when it is of the wrong type.
    for (const key of (await findKeys()).filter((name) => /^(parked|replay|attempts):/.test(name))) {
      await run('DEL', key)
      await run('HSET', key, 'of', 'another form')
      await run('EXPIRE', key, '1000')
    }
    expect([await read.parkedEntry(id), await read.replay('r1'), (await read.parked()).items]).toEqual([null, null, []])
    expect(await findLasting()).toEqual([])
    expect([...used].toSorted()).toEqual(OF_REPLAYS.reads)
  })

  test('every effect, every step of the script and every read has a contract', () => {
    expect(Object.keys(readModel).toSorted()).toEqual(
      [...Object.keys(CONTRACTS), ...NOT_EFFECTS, ...OF_REPLAYS.effects].toSorted(),
    )
    const steps = [...ALL.flatMap((effect) => effect.steps.map(({ name }) => name)), ...OF_REPLAYS.steps]
    expect([...new Set(steps)].toSorted()).toEqual(
      [...APPLY.matchAll(/^function apply\.(\w+)/gm)].map(([, name = '']) => name).toSorted(),
    )
    expect([...new Set([...READS.map(({ name }) => name), ...OF_REPLAYS.reads])].toSorted()).toEqual(
      Object.keys(use().store.read).toSorted(),
    )
  })
})
