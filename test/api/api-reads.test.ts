import {
  agentCall,
  agentStats,
  agentStatus,
  campaignStats,
  campaignStatus,
  dialerStatus,
  dialPreview,
  latest,
  other,
  relayGap,
  type Agent,
  type AgentDetail,
  type Campaign,
  type AgentsPage,
  type CampaignDetail,
  type CampaignOverview,
  type Preview,
  type GapRecord,
  type OtherPage,
  type Page,
} from 'enigma-relay/store'
import { describe, expect, it } from 'vitest'
import { notice, useApi } from './api-world.ts'

describe('GET /kinds/:type/:sub_type/:ref', () => {
  it('shows the latest value of a kind, and earlier values', async () => {
    const { commit, get, json } = await useApi()
    const note = (text: string, reference = 'a/b') =>
      latest(notice({ text }, { type: 'crm', subType: 'note', reference }))
    await commit(note('first'), note('second'), note('other', 'c'))
    expect(await json('/kinds/crm/note/a%2Fb')).toMatchObject({
      ref: 'a/b',
      unsure: false,
      latest: { source: 'main', stale: false, payload: { text: 'second' } },
      history: [{ payload: { text: 'first' } }],
    })
    expect((await get('/kinds/crm/note/d')).status).toBe(404)
    expect((await get('/kinds/crm/note/c?limit=1')).status).toBe(400)
  })
})

describe('GET /agents', () => {
  it('shows each agent with its state in each campaign and its current call', async () => {
    const { commit, json } = await useApi()
    await commit(
      agentStatus(notice({ status: 'available', campaign_ref: '7' }, { reference: '1002' })),
      agentStatus(notice({ status: 'busy', campaign_ref: '8' }, { reference: '1002' })),
      agentCall(
        notice(
          { call_ref: '90071992547409931', number: '+15550100', contact_ref: 'A-1', campaign_ref: '8' },
          { reference: '1002' },
        ),
      ),
      agentStatus(notice({ status: 'logging_in', campaign_ref: '7' }, { reference: '1003' })),
    )
    const { items, next } = await json<Page<Agent>>('/agents')
    expect(next).toBeNull()
    expect(items.map((agent) => agent.ref)).toEqual(['1002', '1003'])
    expect(items[0]?.states.map(({ campaign_ref, status }) => [campaign_ref, status]).toSorted()).toEqual([
      ['7', 'available'],
      ['8', 'busy'],
    ])
    expect(items[0]?.call).toMatchObject({
      call_ref: '90071992547409931',
      number: '+15550100',
      contact_ref: 'A-1',
      stale: false,
    })
    expect(items[1]?.call).toBeNull()
  })

  it('returns every agent once across all pages', async () => {
    const { commit, json } = await useApi()
    const refs = Array.from({ length: 25 }, (_, index) => String(1000 + index))
    await commit(...refs.map((reference) => agentStatus(notice({ status: 'available' }, { reference }))))
    const seen: string[] = []
    let next: string | null = ''
    while (next !== null) {
      const page: Page<Agent> = await json(
        `/agents?limit=10${next === '' ? '' : `&cursor=${encodeURIComponent(next)}`}`,
      )
      expect(page.items.length).toBeLessThanOrEqual(10)
      seen.push(...page.items.map((agent) => agent.ref))
      next = page.next
    }
    expect(seen.toSorted()).toEqual(refs)
  })

  it('is empty before the first notification', async () => {
    const { json } = await useApi()
    expect(await json('/agents')).toEqual({ items: [], next: null })
  })
})

describe('GET /agents/:ref', () => {
  it('adds the latest calls, including stale ones, and the counters with their resets', async () => {
    const { commit, json } = await useApi()
    await commit(
      agentStatus(notice({ status: 'busy', campaign_ref: '7' }, { reference: '1002' })),
      agentCall(notice({ call_ref: '1', number: '+15550100' }, { reference: '1002', stale: true })),
      agentCall(notice({ call_ref: '2', number: '+15550101' }, { reference: '1002' })),
      agentStats(notice({ calls: 9, talk_time: 1000 }, { reference: '1002' })),
      agentStats(notice({ calls: 1, talk_time: 100 }, { reference: '1002' })),
    )
    const agent = await json<AgentDetail>('/agents/1002')
    expect(agent.call?.call_ref).toBe('2')
    expect(agent.calls.map(({ call_ref, stale }) => [call_ref, stale])).toEqual([
      ['2', false],
      ['1', true],
    ])
    expect(agent.stats).toMatchObject([{ source: 'main', values: { calls: 1, talk_time: 100 }, resets: 1 }])
    expect(agent.stats[0]?.series.map(({ values, reset }) => [values['calls'], reset])).toEqual([
      [9, false],
      [1, true],
    ])
  })

  it.each(['a/b', 'a b', 'zoë', '100%', '+27', 'x:y', '?', '..%2f'])('finds the agent called %s', async (reference) => {
    const { commit, json } = await useApi()
    await commit(agentStatus(notice({ status: 'available' }, { reference })))
    expect((await json<AgentDetail>(`/agents/${encodeURIComponent(reference)}`)).ref).toBe(reference)
  })
})

describe('GET /campaigns', () => {
  it('shows the state of each campaign, and null if none was received', async () => {
    const { commit, json } = await useApi()
    await commit(
      campaignStatus(notice({ status: 'started' }, { reference: '7' })),
      campaignStats(notice({ total_calls: 3 }, { reference: '8' })),
    )
    const { items } = await json<Page<Campaign>>('/campaigns')
    expect(items.map(({ ref, status }) => [ref, status])).toEqual([
      ['7', 'started'],
      ['8', null],
    ])
  })

  it('shows history newest first, counters as a series, and who will be dialled next', async () => {
    const { commit, get, json } = await useApi()
    const callees = [{ number: '+15550100', contact_ref: '90071992547409931', note: '☎ emoji 😀' }]
    await commit(
      campaignStatus(notice({ status: 'started' }, { reference: '7' })),
      campaignStatus(notice({ status: 'stopping' }, { reference: '7' })),
      campaignStats(notice({ total_calls: 3, callees_remaining: 90 }, { reference: '7' })),
      dialPreview(notice({ callees }, { reference: '7' })),
    )
    const campaign = await json<CampaignDetail>('/campaigns/7')
    expect(campaign).toMatchObject({ ref: '7', status: 'stopping', source: 'main' })
    expect(campaign.history.map(({ status }) => status)).toEqual(['stopping', 'started'])
    expect(campaign.stats[0]?.series).toHaveLength(1)
    expect(campaign).not.toHaveProperty('preview')
    expect((await json<Preview>('/campaigns/7/preview')).callees).toEqual(callees)
    expect((await get('/campaigns/8/preview')).status).toBe(404)
  })
})

describe('GET /agents with filters', () => {
  it('filters by campaign, status and unsure, counts by status, and rejects an invalid boolean', async () => {
    const { commit, get, json } = await useApi()
    await commit(
      agentStatus(notice({ status: 'busy', campaign_ref: '7' }, { reference: '1' })),
      agentStatus(notice({ status: 'available', campaign_ref: '7' }, { reference: '2' })),
      agentStatus(notice({ status: 'busy', campaign_ref: '8' }, { reference: '3' })),
    )
    const find = async (query: string) => {
      const { items, counts } = await json<AgentsPage>(`/agents${query}`)
      return [items.map(({ ref }) => ref), counts]
    }
    expect(await find('')).toEqual([['1', '2', '3'], undefined])
    expect(await find('?campaign=7')).toEqual([['1', '2'], { available: 1, busy: 1 }])
    expect(await find('?campaign=7&status=busy')).toEqual([['1'], { available: 1, busy: 1 }])
    expect(await find('?unsure=true')).toEqual([[], {}])
    expect(await find('?counts=true&limit=1')).toEqual([['1'], { available: 1, busy: 2 }])
    expect((await get('/agents?unsure=maybe')).status).toBe(400)
    const { items } = await json<Page<CampaignOverview>>('/campaigns?limit=1')
    expect(items).toEqual([])
  })
})

describe('GET /dialers', () => {
  it('shows the state of each dialler', async () => {
    const { commit, json } = await useApi()
    await commit(dialerStatus(notice({ status: 'started' }, { type: 'dialers' })))
    expect((await json<{ items: Campaign[] }>('/dialers')).items).toMatchObject([{ ref: 'main', status: 'started' }])
  })
})

describe('GET /other', () => {
  it('shows the bytes, the reason and a count per type, newest first, a page at a time', async () => {
    const { commit, json } = await useApi()
    const own = { type: 'agents', subType: 'unknown' }
    await commit(
      other(notice({}, { ...own, data: '{"type":"lunch"}', reason: 'unknown_type' })),
      other(notice({}, { ...own, data: Uint8Array.of(0xff, 0xfe), reason: 'not_utf8' })),
      other(notice({}, { ...own, type: 'unknown', data: '', reason: 'empty' })),
    )
    const first = await json<OtherPage>('/other?limit=2')
    expect(first.items.map(({ reason, text, base64 }) => [reason, text, base64])).toEqual([
      ['empty', '', null],
      ['not_utf8', null, '//4='],
    ])
    expect(first.counts).toEqual({ 'agents/unknown': 2, 'unknown/unknown': 1 })
    const second = await json<OtherPage>(`/other?limit=2&cursor=${encodeURIComponent(first.next as string)}`)
    expect(second.items.map(({ text }) => text)).toEqual(['{"type":"lunch"}'])
    expect(second.next).toBeNull()
  })
})

describe('GET /gaps', () => {
  it('lists gaps, newest first, by source and time, and marks earlier states as unsure', async () => {
    const { commit, json, get } = await useApi()
    const gap = (source: string, to: string) =>
      relayGap(
        notice(
          { source, relay: 'r1', from: to, to, cause: 'start', patterns: ['enigma:*'] },
          { source, transport: 'relay', type: 'relay' },
        ),
      )
    const [first, second] = [new Date(Date.now() - 60_000).toISOString(), new Date(Date.now() - 30_000).toISOString()]
    await commit(
      agentStatus(notice({ status: 'busy' }, { reference: '1002' })),
      gap('main', first),
      gap('north', second),
    )
    const ids = async (query: string) =>
      (await json<Page<GapRecord>>(`/gaps${query}`)).items.map(({ source, to }) => [source, to])
    expect(await ids('')).toEqual([
      ['north', second],
      ['main', first],
    ])
    expect(await ids('?source=main')).toEqual([['main', first]])
    expect(await ids(`?since=${second}`)).toEqual([['north', second]])
    const page = await json<Page<GapRecord>>('/gaps?limit=1')
    expect(await ids(`?limit=1&cursor=${encodeURIComponent(page.next as string)}`)).toEqual([['main', first]])
    expect((await json<Agent>('/agents/1002')).states).toMatchObject([{ status: 'busy', unsure: true }])
    expect((await get('/gaps?since=nonsense')).status).toBe(400)
  })
})

describe('GET /health', () => {
  it('says ok without a token when the read model answers', async () => {
    const { app } = await useApi()
    const response = await app.request('/health?probe=17')
    expect([response.status, await response.json()]).toEqual([200, { status: 'ok', store: 'ok' }])
    expect(response.headers.get('cache-control')).toBe('no-store')
  })
})
