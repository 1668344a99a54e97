import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import type { Notification, RelayParked } from 'enigma-relay/protocol'
import { agentCall, agentStatus, campaignStatus, cdr, relayParked } from 'enigma-relay/store'
import { expect, it } from 'vitest'
import { createApi } from '../../src/api/index.ts'
import type { EventsOptions } from '../../src/api/change-routes.ts'
import { toOutcomeEffects } from '../../src/store/effects/park-effects.ts'
import { notification } from '../adapter/factories.ts'
import { notice, useApi } from './api-world.ts'

const NUMBER = '27821234567'
const TOKENS = ['operate', 'read', 'masked'].map((role) => `${role}:${role}:${role.padEnd(40, 'x')}`).join('\n')
const as = (role: string) => ({ authorization: `Bearer ${role.padEnd(40, 'x')}` })
type Document = {
  readonly paths: Record<
    string,
    { readonly get: { readonly responses: Record<string, { content: Record<string, { schema: object }> }> } }
  >
  readonly components: object
}
type Answer = {
  readonly [name: string]: unknown
  readonly id: string
  readonly items: readonly { readonly id: string; readonly action?: string }[]
  readonly content: { readonly text: string }
  readonly totals: { readonly agents: Record<string, number> }
}

async function useAll(options: { corsOrigin?: string; events?: EventsOptions } = {}) {
  const world = await useApi({ tokens: TOKENS, ...options })
  const { read, commit } = world.store
  const app = createApi({
    read,
    tokens: TOKENS,
    ...options,
    replay: { commit, sendStep: async () => {}, sendCommand: async () => {}, drain: async () => {} },
  })
  const ask = async (path: string, role = 'operate', body?: unknown, headers: Record<string, string> = {}) => {
    const response = await app.request(path, {
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
      headers: { ...as(role), ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    })
    const text = await response.text()
    return { status: response.status, text, headers: response.headers, body: JSON.parse(text) as Answer }
  }
  const park = async (n: number, one: Notification | undefined, own: object = {}) =>
    world.commit(
      ...(await toOutcomeEffects(
        {
          parked: [
            {
              route: 'agents-status',
              eventSourceARN: 'arn:x:enigma-agents-status.fifo',
              ...(one === undefined ? {} : { key: one.id, notification: one }),
              reason: '422: call_ref is missing',
              attempts: 1,
              messageId: `m${n}`,
              messageGroupId: '17',
              ...own,
            },
          ],
          failed: [],
          replayed: [],
        },
        Date.now() - 60_000 + n,
      )),
    )
  return { ...world, app, ask, park }
}

it.each([
  [
    'a packet that is not UTF-8',
    notification('1002', 1, {
      data: new Uint8Array([...Buffer.from(`{"type":"x","payload":{"number":"${NUMBER}"}}`), 0xff]),
      datacontenttype: 'application/octet-stream',
    }),
  ],
  [
    'a nested payload',
    notification('1002', 1, {
      payload: { status: 'busy', customer: { name: 'Jane Doe', mobile: NUMBER, list: [{ name: 'Jane Doe' }] } },
    }),
  ],
  ['a payload that is a list', notification('1002', 1, { payload: [{ name: 'Jane Doe', mobile: NUMBER }] })],
  [
    'members beside the payload',
    notification('1002', 1, { data: JSON.stringify({ type: 'status', customer: { name: 'Jane Doe' }, payload: {} }) }),
  ],
  [
    'a packet inside a JSON string',
    notification('1002', 1, { data: JSON.stringify(JSON.stringify({ name: 'Jane Doe', n: NUMBER })) }),
  ],
  [
    'a member name',
    notification('1002', 1, { data: JSON.stringify({ type: 'status', [NUMBER]: 1, 'Jane Doe': 1, payload: {} }) }),
  ],
  ['a subject', notification(NUMBER, 1, { payload: {} })],
  ["an attribute that is not the relay's", notification('1002', 1, { customer: 'Jane Doe' } as Partial<Notification>)],
  ['text that is not JSON', notification('1002', 1, { data: `Jane Doe ${NUMBER}`, datacontenttype: 'text/plain' })],
  ['a channel', notification('1002', 1, { channel: `enigma:notifications:agents:${NUMBER}` })],
])('the content of a parked entry shows no personal data from %s', async (_, one) => {
  const { ask, park } = await useAll()
  await park(1, one)
  const id = (await ask('/parked')).body.items[0]?.id
  for (const role of ['read', 'masked', 'operate']) {
    const { body } = await ask(`/parked/${id}`, role)
    const text = body.content.text
    const decoded = text + Buffer.from(/"data_base64":"([^"]*)"/.exec(text)?.[1] ?? '', 'base64').toString('latin1')
    expect(decoded).not.toContain(NUMBER)
    expect(decoded).not.toContain('Jane Doe')
  }
})

it.each([
  [
    'a batch with a bad event',
    JSON.stringify([
      { specversion: '1.0', id: '1', source: 'x', type: 'y', data: JSON.stringify({ payload: { name: 'Jane Doe' } }) },
      { nothing: 'Jane Doe' },
    ]),
  ],
  [
    'JSON that is not an event',
    JSON.stringify({ name: 'Jane Doe', phone: NUMBER, base64: Buffer.from(NUMBER).toString('base64') }),
  ],
  ['a text', `Jane Doe ${NUMBER}`],
])('the content of an unreadable message shows no personal data from %s', async (_, body) => {
  const { ask, park } = await useAll()
  await park(1, undefined, { body })
  const id = (await ask('/parked')).body.items[0]?.id
  const { body: answer } = await ask(`/parked/${id}`, 'read')
  expect(answer.content.text).not.toContain('Jane Doe')
  expect(answer.content.text).not.toContain(NUMBER)
  expect(answer.content.text).not.toContain(Buffer.from(NUMBER).toString('base64'))
})

it('answers to the roles read and masked match the OpenAPI document, and masked ones show no number', async () => {
  const { ask, park, commit } = await useAll({ events: {} })
  await commit(agentStatus(notice({ status: 'busy', campaign_ref: '7' }, { reference: '1002' })))
  await commit(agentCall(notice({ call_ref: '77', number: NUMBER }, { subType: 'call', reference: '1002' })))
  await commit(
    cdr(
      notice(
        { call_ref: '1', dialed_at: Date.now() / 1000 - 60, ref: '7', end_reason: NUMBER },
        { type: 'campaigns', subType: 'cdr' },
      ),
    ),
  )
  await park(1, notification('1002', 1, { payload: { number: NUMBER } }), { reason: `422: no ${NUMBER}` })
  await park(2, notification('1003', 2, { payload: { number: NUMBER } }))
  await park(3, notification('1004', 3))
  const { body: list } = await ask('/parked')
  const started = await ask('/replays', 'operate', { ids: [list.items[0]?.id] })
  await ask('/parked/delete', 'operate', { ids: [list.items[1]?.id] })
  await ask('/parked/delete', 'operate', { filter: { reason: NUMBER } })
  const document = (await ask('/openapi.json')).body as unknown as Document
  const ajv = formats.default(new Ajv2020({ strict: false, allErrors: true }))
  const faults: string[] = []
  for (const [path, schemaPath] of [
    ['/parked', '/parked'],
    [`/parked/${list.items[0]?.id}`, '/parked/{id}'],
    ['/parked/groups', '/parked/groups'],
    ['/bin', '/bin'],
    ['/audit', '/audit'],
    ['/wall', '/wall'],
    ['/replays', '/replays'],
    [`/replays/${started.body.id}`, '/replays/{id}'],
    ['/changes', '/changes'],
    ['/config', '/config'],
  ] as const) {
    for (const role of ['read', 'masked']) {
      const { status, body, text } = await ask(path, role)
      if (role === 'masked' && text.includes(NUMBER)) faults.push(`${path} shows the number`)
      const schema = document.paths[schemaPath]?.get.responses['200']?.content['application/json']?.schema
      const validate = ajv.compile({ ...schema, components: document.components })
      if (status !== 200 || !validate(body))
        faults.push(`${role} ${path}: ${status} ${ajv.errorsText(validate.errors)}`)
      if (role === 'masked') {
        const stars = /"(first|last|oldest|next_expiry|example|id|at|operator|deleted_by|name)":"[^"]*\*[^"]*"/.exec(
          text,
        )
        if (stars) faults.push(`masked ${path}: ${stars[0]}`)
      }
    }
  }
  expect(faults).toEqual([])
})

it('/wall masks numbers in statuses and end reasons for the role masked', async () => {
  const { ask, commit } = await useAll()
  await commit(
    campaignStatus(notice({ status: NUMBER }, { type: 'campaigns', subType: 'status', reference: '7' })),
    agentStatus(notice({ status: NUMBER, campaign_ref: '7' }, { reference: '1002' })),
    agentStatus(notice({ status: 'number', campaign_ref: '7' }, { reference: '1003' })),
    cdr(
      notice(
        { call_ref: '1', dialed_at: Date.now() / 1000 - 60, ref: '7', end_reason: NUMBER },
        { type: 'campaigns', subType: 'cdr' },
      ),
    ),
  )
  const { text, body } = await ask('/wall', 'masked')
  expect(text).not.toContain(NUMBER)
  expect(body.totals.agents['number']).toBe(1)
})

it('an entry that is deleted or restored twice is counted as skipped the second time', async () => {
  const { ask, park } = await useAll()
  await park(1, notification('1002', 1))
  const id = (await ask('/parked')).body.items[0]?.id
  expect((await ask('/parked/delete', 'operate', { ids: [id] })).body).toMatchObject({ moved: 1, skipped: 0 })
  expect((await ask('/parked/delete', 'operate', { ids: [id] })).body).toMatchObject({ moved: 0, skipped: 1 })
  expect((await ask('/bin/restore', 'operate', { ids: [id] })).body).toMatchObject({ moved: 1 })
  expect((await ask('/bin/restore', 'operate', { ids: [id] })).body).toMatchObject({ moved: 0, skipped: 1 })
})

it('an unknown member of a body is refused, even one that every object inherits', async () => {
  const { ask, app, park } = await useAll()
  await park(1, notification('1002', 1))
  for (const body of [
    '{"filter":{"constructor":"x"}}',
    '{"filter":{"__proto__":{"route":"x"}}}',
    '{"filter":{"toString":"x"}}',
    '{"filter":{"hasOwnProperty":1}}',
  ]) {
    const response = await app.request('/parked/delete', {
      method: 'POST',
      body,
      headers: { ...as('operate'), 'content-type': 'application/json' },
    })
    expect([body, response.status]).toEqual([body, 400])
  }
  expect((await ask('/parked')).body.items).toHaveLength(1)
})

it('invalid queries and bodies are 400, with problem+json', async () => {
  const { ask, app } = await useAll()
  for (const path of [
    '/changes?after=99999999999999999999-0',
    '/changes?after=',
    '/parked?status=42',
    '/parked?status=abc',
    '/parked?since=x',
    '/bin?cursor=x',
    '/audit?cursor=x',
    '/replays?cursor=x',
    '/parked?reason=',
    '/parked/x?reveal=maybe',
    '/wall?x=1',
    '/changes?constructor=1',
  ]) {
    const { status, headers } = await ask(path)
    expect([path, status, headers.get('content-type')]).toEqual([path, 400, 'application/problem+json'])
  }
  for (const [path, body] of [
    ['/replays', {}],
    ['/replays', { ids: [] }],
    ['/replays', { ids: ['a'], filter: {} }],
    ['/replays', { filter: { status: '422' } }],
    ['/replays', { filter: {}, rate: 0 }],
    ['/replays', { filter: {}, rate: 1.5 }],
    ['/replays', { filter: {}, rate: 1e9 }],
    ['/replays', { filter: { since: 5 } }],
    ['/replays', { filter: null }],
    ['/replays', { ids: ['a'.repeat(201)] }],
    ['/parked/delete', { ids: ['a'], forever: 'yes' }],
    ['/replays', { ids: Array.from({ length: 1001 }, (_, n) => `${n}`) }],
    ['/replays', { route: 'campaigns-cdr', ids: ['a'] }],
    ['/bin/restore', { ids: null }],
    ['/bin/restore', {}],
    ['/parked/delete', null],
    ['/parked/delete', []],
  ] as const) {
    const { status, headers } = await ask(path, 'operate', body)
    expect([path, JSON.stringify(body).slice(0, 80), status, headers.get('content-type')]).toEqual([
      path,
      JSON.stringify(body).slice(0, 80),
      400,
      'application/problem+json',
    ])
  }
  for (const raw of ['', '{', 'x', '[1]', '"x"', '\u0000']) {
    const response = await app.request('/replays', {
      method: 'POST',
      body: raw,
      headers: { ...as('operate'), 'content-type': 'application/json' },
    })
    expect([raw, response.status]).toEqual([raw, 400])
  }
  const plain = await app.request('/parked/delete', {
    method: 'POST',
    body: '{"filter":{}}',
    headers: { ...as('operate'), 'content-type': 'text/plain' },
  })
  expect(plain.status).toBe(400)
})

it('roles: each write answers 403 to read and masked before it checks the body', async () => {
  const { ask } = await useAll()
  for (const role of ['read', 'masked'])
    for (const [path, body] of [
      ['/replays', { filter: {} }],
      ['/replays', { filter: {}, plan: true }],
      ['/parked/delete', { filter: {} }],
      ['/bin/restore', { ids: ['a'] }],
      ['/parked/drain', {}],
      ['/replays/none/stop', {}],
      ['/replays', 'x'],
    ] as const)
      expect([role, path, (await ask(path, role, body)).status]).toEqual([role, path, 403])
})

it('preflights: listed origins may POST, and with *, other origins may only read', async () => {
  const { app } = await useAll({ corsOrigin: '*, https://console.example.com' })
  const preflight = async (path: string, origin: string) => {
    const { status, headers } = await app.request(path, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type',
      },
    })
    return [
      status,
      headers.get('access-control-allow-origin'),
      headers.get('access-control-allow-methods'),
      headers.get('vary'),
    ]
  }
  for (const path of ['/replays', '/parked/delete', '/bin/restore', '/parked/drain', '/replays/x/stop']) {
    expect(await preflight(path, 'https://console.example.com')).toEqual([
      204,
      'https://console.example.com',
      'GET,HEAD,POST',
      expect.stringContaining('Origin'),
    ])
    expect(await preflight(path, 'https://evil.example.com')).toEqual([204, '*', 'GET,HEAD', expect.any(String)])
  }
  const none = await useAll()
  expect(
    (
      await none.app.request('/replays', {
        method: 'OPTIONS',
        headers: { origin: 'https://x.example', 'access-control-request-method': 'POST' },
      })
    ).headers.get('access-control-allow-origin'),
  ).toBe(null)
})

it('deleting an entry of the relay requires forever; its content is null, and a reveal is refused or recorded', async () => {
  const { ask, commit } = await useAll()
  const at = new Date().toISOString()
  await commit(
    relayParked(
      notice<RelayParked>(
        {
          source: 'main',
          id: 'main/l/1/1',
          state: 'parked',
          route: 'x',
          reason: 'r',
          detail: '',
          received: at,
          parkedat: at,
          bytes: 1,
          type: 't',
        },
        { type: 'relay', subType: 'parked', transport: 'relay' },
      ),
    ),
  )
  expect(await ask('/parked/delete', 'operate', { ids: ['main/l/1/1'] })).toMatchObject({
    status: 400,
    body: { parameter: 'forever' },
  })
  expect((await ask('/parked/delete', 'operate', { ids: ['main/l/1/2'] })).body).toEqual({
    asked: 0,
    moved: 0,
    skipped: 1,
    more: false,
  })
  const path = `/parked/${encodeURIComponent('main/l/1/1')}`
  expect((await ask(path)).body.content).toBe(null)
  expect(await ask(`${path}?reveal=true`, 'read')).toMatchObject({ status: 403, body: { parameter: 'reveal' } })
  const reveals = async () => (await ask('/audit')).body.items.filter(({ action }) => action === 'reveal')
  expect(await reveals()).toEqual([])
  expect((await ask(`${path}?reveal=true`)).body.content).toBe(null)
  expect(await reveals()).toMatchObject([{ what: 'main/l/1/1' }])
  expect((await ask('/parked')).body.items).toHaveLength(1)
})
