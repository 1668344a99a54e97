import { expect, test } from 'vitest'
import type { AgentCall, Cdr, RelayGap } from '../../src/protocol/index.ts'
import {
  agentCall,
  agentStats,
  agentStatus,
  campaignStats,
  campaignStatus,
  cdr,
  dialerStatus,
  dialPreview,
  other,
  relayAlive,
  relayGap,
  relayParked,
  type StoreEvent,
} from '../../src/store/index.ts'
import { useRedisClient } from '../support/redis.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, toEvent } from './events.ts'

/** Longer than Upstash takes for a key, a member or a field (32 KB), each another one. */
const long = (what: string) => `${what}-é-${'x'.repeat(33_000)}`

test('names of any length are kept and found, whatever the database takes in a key, a field or a member', async () => {
  const { store, redis } = await useStore()
  const [agent, campaign, contact, number, reason] = ['agent', 'campaign', 'contact', 'number', 'reason'].map(long) as [
    string,
    string,
    string,
    string,
    string,
  ]
  let at = 0
  const event = <P>(
    type: string,
    subType: string,
    ref: string | undefined,
    payload: P,
    own: Partial<StoreEvent> = {},
  ) => toEvent(type, subType, ref, payload, ++at, { id: long(`main/p/1/${at}`), ...own })
  const tried = (own: Partial<Cdr>) => {
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
      tried({}),
      tried({ call_time: 9, recording_url: long('url') }),
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
  expect((await store.read.other()).items).toMatchObject([{ type: `agents/${long('type')}`, text: expect.any(String) }])
  expect((await store.read.parked()).items).toMatchObject([{ notification_ids: [long('parked')] }])
  expect((await store.read.gaps({ source: long('source') })).items).toMatchObject([{ route: long('route') }])
  expect(await store.read.relays()).toMatchObject([{ relay: long('relay') }])
  for (const filter of [{}, { campaign }, { agent }, { contact }, { number }, { endReason: reason }]) {
    const { items } = await store.read.cdrs(filter)
    expect(items).toMatchObject([{ call_ref: long('call'), revised: true }])
    expect(items[0]?.id.length).toBeLessThan(100)
    expect(await store.read.cdr(items[0]?.id ?? '')).toMatchObject({ call_time: 9, revisions: [{ call_time: null }] })
  }
  const client = await useRedisClient(redis.url)
  for (const key of await client.keys('*'))
    expect([key.length, (await client.ttl(key)) > 0]).toEqual([expect.any(Number), !key.endsWith('other_counts')])
})
