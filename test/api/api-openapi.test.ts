import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import {
  agentCall,
  agentStats,
  agentStatus,
  campaignStats,
  campaignStatus,
  cdr,
  dialerStatus,
  dialPreview,
  latest,
  other,
  relayAlive,
  relayGap,
  relayParked,
  startReplay,
  type CdrRecord,
  type ChangesPage,
  type Page,
  type ParkedPage,
} from 'enigma-relay/store'
import { describe, expect, it } from 'vitest'
import { listMissing } from '../../src/api/index.ts'
import { toOutcomeEffects } from '../../src/store/effects/park-effects.ts'
import { notification } from '../adapter/factories.ts'
import { notice, useApi } from './api-world.ts'

type Schema = { readonly [name: string]: unknown }
type Operation = {
  operationId: string
  summary?: string
  description?: string
  security?: unknown[]
  parameters?: { name: string; in: string; required?: boolean; description?: string; schema: Schema }[]
  responses: Record<string, { description: string; content?: Record<string, { schema: Schema }> }>
}
type Document = {
  openapi: string
  info: Schema
  security: unknown[]
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Schema>; securitySchemes: Schema }
}

const PATHS = [
  '/agents',
  '/agents/{ref}',
  '/audit',
  '/bin',
  '/bin/restore',
  '/campaigns',
  '/campaigns/{ref}',
  '/campaigns/{ref}/preview',
  '/cdrs',
  '/cdrs/search',
  '/cdrs/{id}',
  '/changes',
  '/config',
  '/confirmations',
  '/dialers',
  '/events',
  '/gaps',
  '/health',
  '/kinds/{type}/{sub_type}/{ref}',
  '/missing',
  '/openapi.json',
  '/other',
  '/parked',
  '/parked/delete',
  '/parked/drain',
  '/parked/groups',
  '/parked/{id}',
  '/queues',
  '/relays',
  '/replays',
  '/replays/next',
  '/replays/{id}',
  '/replays/{id}/stop',
  '/wall',
]

/** Paths that have only POST: writes, and a read with filters in its body. */
const WRITES = [
  '/cdrs/search',
  '/bin/restore',
  '/parked/delete',
  '/parked/drain',
  '/replays/next',
  '/replays/{id}/stop',
]

/** Yields every object inside a value, including the value itself. */
function* objectsIn(value: unknown): Generator<Schema> {
  if (typeof value !== 'object' || value === null) return
  if (!Array.isArray(value)) yield value as Schema
  for (const inner of Object.values(value)) yield* objectsIn(inner)
}

/** Closes each object schema, so that an undocumented field is a fault. */
function closed<Value>(document: Value): Value {
  const copy = structuredClone(document)
  for (const schema of objectsIn(copy)) {
    if (schema['type'] === 'object' && 'properties' in schema && !('additionalProperties' in schema))
      Object.assign(schema, { additionalProperties: false })
  }
  return copy
}

/** Returns a function that checks an answer against its schema in the document. */
function checkerOf(document: Document) {
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  formats.default(ajv)
  ajv.addSchema(closed(document), 'document')
  return (path: string, status: number, media: string, answer: unknown): unknown => {
    const escaped = [path, media].map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1')))
    const validate = ajv.compile({
      $ref: `document#/paths/${escaped[0]}/get/responses/${status}/content/${escaped[1]}/schema`,
    })
    return validate(answer) ? [] : validate.errors
  }
}

describe('GET /openapi.json', () => {
  it('describes every path with a summary, a description, its responses and its parameters', async () => {
    const { app, json } = await useApi()
    const document = await json<Document>('/openapi.json')
    expect(document.openapi).toMatch(/^3\.1\./)
    expect(document.info).toMatchObject({ title: expect.any(String), version: expect.any(String) })
    expect(Object.keys(document.paths).toSorted()).toEqual(PATHS)
    const served = app.routes
      .filter((route) => route.method === 'GET' || route.method === 'POST')
      .map((route) => route.path.replace(/:(\w+)/g, '{$1}'))
    expect([...new Set(served)].toSorted()).toEqual(PATHS)
    for (const [path, methods] of Object.entries(document.paths)) {
      const wanted = path === '/replays' ? ['get', 'post'] : [WRITES.includes(path) ? 'post' : 'get']
      expect([path, Object.keys(methods).toSorted()]).toEqual([path, wanted])
      for (const { summary, description, responses } of Object.values(methods)) {
        expect([path, summary, description]).toEqual([path, expect.any(String), expect.any(String)])
        for (const [status, response] of Object.entries(responses))
          expect([path, status, response.description]).toEqual([path, status, expect.any(String)])
      }
      const [get] = Object.values(methods) as [Operation]
      expect(Object.keys(get.responses)).toEqual(
        expect.arrayContaining(
          path === '/health'
            ? ['200', '503']
            : path === '/events' || (WRITES.includes(path) && path !== '/replays/{id}/stop')
              ? ['200', '401', '503']
              : path === '/replays'
                ? ['202', '403']
                : ['200', '304', '400', '401', '503'],
        ),
      )
      const parameters = get.parameters ?? []
      for (const parameter of parameters)
        expect([path, parameter.name, parameter.description]).toEqual([path, parameter.name, expect.any(String)])
      expect(
        parameters.filter((parameter) => parameter.in === 'path').map(({ name, required }) => [name, required]),
      ).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => [name, true]))
      expect('404' in get.responses).toBe(path.includes('{') || path === '/events' || path === '/queues')
    }
    const ids = Object.values(document.paths).flatMap((methods) =>
      Object.values(methods).map(({ operationId }) => operationId),
    )
    expect(new Set(ids).size).toBe(ids.length)
  })

  it('requires the bearer token on every path but /health', async () => {
    const { json } = await useApi()
    const document = await json<Document>('/openapi.json')
    expect(document.components.securitySchemes).toMatchObject({ token: { type: 'http', scheme: 'bearer' } })
    expect(document.security).toEqual([{ token: [] }])
    const own = Object.entries(document.paths).filter(([, methods]) => methods['get']?.security !== undefined)
    expect(own.map(([path, methods]) => [path, methods['get']?.security])).toEqual([['/health', []]])
  })

  it('has no dangling reference, no unused component, and only valid examples', async () => {
    const { json } = await useApi()
    const document = await json<Document>('/openapi.json')
    const references = [...objectsIn(document)].flatMap(({ $ref }) => (typeof $ref === 'string' ? [$ref] : []))
    const components = Object.keys(document.components.schemas).map((name) => `#/components/schemas/${name}`)
    expect(references.filter((reference) => !components.includes(reference))).toEqual([])
    expect(components.filter((component) => !references.includes(component))).toEqual([])

    const ajv = new Ajv2020({ strict: false })
    formats.default(ajv)
    ajv.addSchema(closed(document), 'document')
    let examples = 0
    for (const [name, schema] of Object.entries(document.components.schemas)) {
      const validate = ajv.compile({ $ref: `document#/components/schemas/${name}` })
      for (const example of (schema['examples'] as unknown[] | undefined) ?? []) {
        examples++
        expect([name, validate(example) ? [] : validate.errors]).toEqual([name, []])
      }
    }
    expect(examples).toBeGreaterThan(4)
  })
})

describe('the answer to a read', () => {
  it('matches its schema in the document on every path, without undocumented fields', async () => {
    const depths = { route: 'agents-call', dead_letter: false }
    const { get, json, commit, store } = await useApi({
      queues: async () => [
        { ...depths, queue: 'enigma-agents-call.fifo', waiting: 2, in_flight: 1 },
        { ...depths, queue: 'enigma-none.fifo', waiting: null, in_flight: null },
      ],
    })
    const about = { route: 'agents-stats', eventSourceARN: 'enigma-agents-stats.fifo' }
    const unreadable = { ...about, body: 'not json', reason: 'the body is not JSON', attempts: 1, messageId: 'm1' }
    const failing = {
      ...about,
      key: 'x',
      notification: notification('A', 1),
      reason: '422',
      attempts: 1,
      messageId: 'm2',
    }
    const failed = [{ messageId: 'm2', attempt: 1, reason: '503', status: 503, keys: ['x'] }]
    const outcomes = { parked: [unreadable, { ...failing, status: 422 }], failed, replayed: [] }
    const asking = { operator: 'jane', created_at: new Date().toISOString(), rate: 5 }
    await commit(
      ...(await toOutcomeEffects(outcomes, Date.now())),
      startReplay('r1', { ...asking, filter: null }, ['3f786850e387550fdab8']),
      startReplay('r2', { ...asking, filter: { route: 'agents-stats', status: 422, sinceMs: 1, untilMs: Date.now() } }),
    )
    const parked = {
      source: 'main',
      id: 'main/l/1/1',
      state: 'parked',
      route: 'other',
      reason: 'refused',
      detail: '',
      received: '',
      parkedat: '',
      bytes: 2,
      type: 'enigma.x.y',
    } as const
    const gap = {
      source: 'main',
      relay: 'r1',
      from: '2026-01-31T08:00:00.000Z',
      to: new Date().toISOString(),
      cause: 'start',
      patterns: ['enigma:*'],
    }
    const dialed_at = Math.floor(Date.now() / 1000) - 60
    const of = (reference: string) => ({ reference })
    const { cursor } = await json<ChangesPage>('/changes')
    await commit(
      agentStatus(notice({ status: 'available', campaign_ref: '7' }, of('1002'))),
      agentStatus(notice({ status: 'wrapup', campaign_ref: '7' }, of('1002'))),
      agentStatus(notice({ status: 'busy' }, of('1002'))),
      agentCall(notice({ call_ref: '1', number: '+15550100', stale: true }, { ...of('1002'), stale: true })),
      agentCall(notice({ call_ref: '2', number: '+15550100', contact_ref: 'A-1', agent: '1002' }, of('1002'))),
      agentStats(notice({ calls: 4, talk_time: 12.5 }, of('1002'))),
      campaignStatus(notice({ status: 'started' }, of('7'))),
      campaignStats(notice({ total_calls: 4 }, of('7'))),
      campaignStats(notice({ total_calls: 4 }, of('8'))),
      dialPreview(
        notice(
          { callees: [{ number: '+15550100', contact_ref: 'A-1', extra: { deep: [1] } }, { number: null }] },
          of('7'),
        ),
      ),
      cdr(notice({ call_ref: '3', dialed_at, end_reason: 'busy', ref: '7' }, { transport: 'list' })),
      cdr(
        notice(
          { call_ref: '3', dialed_at, end_reason: 'hungup', ref: '7', end_code: 16, call_time: 3, hold_time: 0.5 },
          { transport: 'list' },
        ),
      ),
      cdr(notice({ call_ref: '4', dialed_at, extension: null, skill: { level: 3 } }, { transport: 'list' })),
      dialerStatus(notice({ status: 'started' })),
      latest(notice({ text: 'one' }, { type: 'crm', subType: 'note', ...of('9') })),
      latest(notice(null, { type: 'crm', subType: 'note', ...of('9') })),
      other(notice({}, { type: 'unknown', subType: 'unknown', data: Uint8Array.of(0xff), reason: 'not_utf8' })),
      other(notice({}, { type: 'unknown', subType: 'unknown', data: 'x' })),
      relayGap(notice(gap, { transport: 'relay' })),
      relayGap(notice({ ...gap, cause: 'journal_full', route: 'agents-stats', lost: 7 }, { transport: 'relay' })),
      relayParked(notice(parked, { transport: 'relay' })),
      relayAlive(notice({ relay: 'r1', sources: ['main'], started: new Date().toISOString() }, { transport: 'relay' })),
    )
    const lists = ['enigma:notifications:campaigns']
    await commit(
      relayAlive(notice({ relay: 'r2', sources: ['main'], lists, started: '' }, { timeMs: Date.now() })),
      agentCall(notice({ call_ref: '5' }, of('1003'))),
      agentStatus(notice({ status: 'wrapup', campaign_ref: '7' }, of('1003'))),
    )
    expect((await listMissing(store, { waitMs: 0 })).listed).toBe(1)
    const faultsOf = checkerOf(await json<Document>('/openapi.json'))
    const ids = (await json<Page<CdrRecord>>('/cdrs')).items.map((item) => item.id)
    const entries = (await json<ParkedPage>('/parked?from=functions')).items.map((item) => item.id)
    expect(entries).toHaveLength(2)
    const asked: [string, string][] = [
      ['/agents', '/agents'],
      ['/agents', '/agents?limit=1'],
      ['/agents/{ref}', '/agents/1002'],
      ['/agents/{ref}', '/agents/none'],
      ['/campaigns', '/campaigns'],
      ['/campaigns/{ref}', '/campaigns/7'],
      ['/campaigns/{ref}', '/campaigns/8'],
      ['/campaigns/{ref}', '/campaigns/none'],
      ['/campaigns/{ref}/preview', '/campaigns/7/preview'],
      ['/campaigns/{ref}/preview', '/campaigns/8/preview'],
      ['/agents', '/agents?campaign=7&counts=true&masked=true'],
      ['/cdrs', '/cdrs'],
      ['/cdrs', '/cdrs?limit=1'],
      ['/cdrs', '/cdrs?limit=0'],
      ['/cdrs', '/cdrs?nothing'],
      ['/confirmations', `/confirmations?resource=campaigns/7&expect=started&after=${cursor}`],
      ['/confirmations', `/confirmations?resource=agents/1002&expect=offline&after=${cursor}&timeout=0`],
      ['/confirmations', '/confirmations?resource=calls/3&expect=cdr'],
      ...ids.map((id): [string, string] => ['/cdrs/{id}', `/cdrs/${id}`]),
      ['/dialers', '/dialers'],
      ['/gaps', '/gaps'],
      ['/kinds/{type}/{sub_type}/{ref}', '/kinds/crm/note/9'],
      ['/kinds/{type}/{sub_type}/{ref}', '/kinds/crm/note/none'],
      ['/gaps', '/gaps?since=nonsense'],
      ['/missing', '/missing'],
      ['/missing', '/missing?nothing'],
      ['/other', '/other'],
      ['/parked', '/parked'],
      ['/parked', '/parked?from=relay'],
      ['/parked', '/parked?from=none'],
      ...entries.map((id): [string, string] => ['/parked/{id}', `/parked/${id}`]),
      ['/parked/{id}', '/parked/none'],
      ['/queues', '/queues'],
      ['/relays', '/relays'],
      ['/replays', '/replays'],
      ['/replays/{id}', '/replays/r1'],
      ['/replays/{id}', '/replays/r2'],
      ['/replays/{id}', '/replays/none'],
      ['/audit', '/audit'],
      ['/bin', '/bin'],
      ['/changes', '/changes'],
      ['/changes', `/changes?after=${cursor}`],
      ['/config', '/config'],
      ['/parked/groups', '/parked/groups'],
      ['/wall', '/wall'],
      ['/health', '/health'],
      ['/openapi.json', '/openapi.json'],
    ]
    expect(ids).toHaveLength(2)
    const { paths } = await json<Document>('/openapi.json')
    const reads = Object.keys(paths).filter((path) => 'get' in (paths[path] ?? {}))
    // A stream.
    expect(reads.filter((path) => !asked.some(([one]) => one === path))).toEqual(['/events'])
    for (const [path, url] of asked) {
      const response = await get(url)
      const media = response.headers.get('content-type') as string
      expect([url, faultsOf(path, response.status, media, await response.json())]).toEqual([url, []])
    }
  })

  it('does not match when a field is missing or undocumented', async () => {
    const { json } = await useApi()
    const faultsOf = checkerOf(await json<Document>('/openapi.json'))
    expect(faultsOf('/health', 200, 'application/json', { status: 'ok' })).not.toEqual([])
    expect(faultsOf('/health', 200, 'application/json', { status: 'ok', store: 'ok', more: 1 })).not.toEqual([])
    expect(
      faultsOf('/agents', 200, 'application/json', { items: [{ ref: 1, states: [], call: null }], next: null }),
    ).not.toEqual([])
  })
})
