import { cdr, type CampaignDetail, type CdrDetail, type CdrRecord, type Page } from 'enigma-relay/store'
import { describe, expect, it } from 'vitest'
import type { Cdr } from '../../src/protocol/index.ts'
import { notice, TOKEN, useApi } from './api-world.ts'

/** Unix seconds, 15 minutes ago: the CDRs of these tests are dialled from then on. */
const THEN = Math.floor(Date.now() / 1000) - 900

const tried = (callRef: number | string, own: Partial<Cdr> = {}) => {
  const payload = {
    call_ref: String(callRef),
    dialed_at: THEN + Number(callRef),
    ref: '7',
    extension: '1002',
    number: '+15550100',
    contact_ref: 'A-1',
    end_reason: 'hungup',
    ...own,
  }
  return cdr(notice<Cdr>(payload, { type: 'campaigns', subType: 'cdr', transport: 'list' }))
}

const refs = (page: Page<CdrRecord>) => page.items.map((item) => item.call_ref)

describe('GET /cdrs', () => {
  it('sorts by dialed_at, newest first, whatever the order of arrival', async () => {
    const { commit, json } = await useApi()
    await commit(tried(2), tried(3), tried(1))
    expect(refs(await json('/cdrs'))).toEqual(['3', '2', '1'])
  })

  it.each([
    ['campaign=8', ['2']],
    ['agent=1003', ['3']],
    ['contact=A-4', ['4']],
    ['number=%2B15550105', ['5']],
    ['number=+15550105', ['5']],
    ['number=015550106', ['6']],
    ['end_reason=busy', ['7', '6']],
    [`from=${THEN + 6}`, ['7', '6']],
    [`to=${THEN + 2}`, ['2', '1']],
    [`from=${new Date((THEN + 3) * 1000).toISOString()}&to=${new Date((THEN + 4) * 1000).toISOString()}`, ['4', '3']],
    [`campaign=7&end_reason=busy&from=${THEN + 7}`, ['7']],
    ['agent=1003&campaign=8', []],
    ['campaign=none', []],
  ])('finds by %s', async (query, expected) => {
    const { commit, json } = await useApi()
    await commit(
      tried(1),
      tried(2, { ref: '8' }),
      tried(3, { extension: '1003' }),
      tried(4, { contact_ref: 'A-4' }),
      tried(5, { number: '+15550105' }),
      tried(6, { dial_number: '015550106', end_reason: 'busy' }),
      tried(7, { end_reason: 'busy' }),
    )
    const page = await json<Page<CdrRecord>>(`/cdrs?${query}`)
    expect(refs(page)).toEqual(expected)
    expect(page.next).toBeNull()
  })

  it.each(['', 'campaign=7&', 'end_reason=hungup&'])(
    'newer CDRs do not shift the pages of /cdrs?%s',
    async (filter) => {
      const { commit, json } = await useApi()
      await commit(...Array.from({ length: 9 }, (_, index) => tried(index + 1)))
      const first = await json<Page<CdrRecord>>(`/cdrs?${filter}limit=4`)
      expect(refs(first)).toEqual(['9', '8', '7', '6'])
      await commit(tried(10), tried(11))
      const second = await json<Page<CdrRecord>>(
        `/cdrs?${filter}limit=4&cursor=${encodeURIComponent(first.next as string)}`,
      )
      expect(refs(second)).toEqual(['5', '4', '3', '2'])
      const third = await json<Page<CdrRecord>>(
        `/cdrs?${filter}limit=4&cursor=${encodeURIComponent(second.next as string)}`,
      )
      expect(refs(third)).toEqual(['1'])
      expect(third.next).toBeNull()
    },
  )

  it('returns each CDR once when many were dialled in the same second', async () => {
    const { commit, json } = await useApi()
    const same = Array.from({ length: 25 }, (_, index) => tried(index + 1, { dialed_at: THEN }))
    await commit(...same)
    const seen: (string | null)[] = []
    let next: string | null = ''
    while (next !== null) {
      const page: Page<CdrRecord> = await json(
        `/cdrs?limit=4${next === '' ? '' : `&cursor=${encodeURIComponent(next)}`}`,
      )
      seen.push(...refs(page))
      next = page.next
    }
    expect(seen.toSorted((a, b) => Number(a) - Number(b))).toEqual(same.map((_, index) => String(index + 1)))
  })

  it('finds every match when most CDRs do not match the filter', async () => {
    const { commit, json } = await useApi()
    await commit(
      ...Array.from({ length: 60 }, (_, index) =>
        tried(index + 1, { end_reason: index % 20 === 0 ? 'failed' : 'busy' }),
      ),
    )
    const seen: (string | null)[] = []
    let next: string | null = ''
    while (next !== null) {
      const page: Page<CdrRecord> = await json(
        `/cdrs?end_reason=failed&limit=2${next === '' ? '' : `&cursor=${encodeURIComponent(next)}`}`,
      )
      seen.push(...refs(page))
      next = page.next
    }
    expect(seen).toEqual(['41', '21', '1'])
  })
})

describe('POST /cdrs/search', () => {
  const OPERATOR = 'operator-of-the-test-of-32-characters'
  const MASKED = 'masked-token-of-the-test-32-characters'
  const TOKENS = `jane:operate:${OPERATOR}\nwall:masked:${MASKED}`

  const useSearch = async (options: Parameters<typeof useApi>[0] = {}) => {
    const world = await useApi({ tokens: TOKENS, ...options })
    const search = async (body: unknown, { token = TOKEN, query = '', headers = {} } = {}) => {
      const response = await world.app.request(`/cdrs/search${query}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      })
      return { status: response.status, answer: (await response.json()) as Page<CdrRecord> & Record<string, string> }
    }
    return { ...world, search }
  }

  it('returns the same CDRs for filters in the body as GET for the query string, in pages', async () => {
    const { commit, json, search } = await useSearch()
    await commit(...[1, 2, 3, 4, 5].map((n) => tried(n, { end_reason: n % 2 === 0 ? 'busy' : 'hungup' })))
    const time = (n: number) => String(THEN + n)
    for (const [body, expected] of [
      [{}, ['5', '4', '3', '2', '1']],
      [{ number: '+15550100', from: time(2), to: time(4) }, ['4', '3', '2']],
      [{ contact: 'A-1', campaign: '7', agent: '1002', end_reason: 'busy' }, ['4', '2']],
      [{ number: '+15550101' }, []],
    ] as const) {
      const { status, answer } = await search(body)
      expect([body, status, refs(answer)]).toEqual([body, 200, expected])
      expect(answer).toEqual(await json(`/cdrs?${new URLSearchParams(body).toString()}`))
    }
    const first = (await search({ number: '+15550100', limit: 3 })).answer
    const second = (await search({ number: '+15550100', limit: 3, cursor: first.next })).answer
    expect([refs(first), refs(second), second.next]).toEqual([['5', '4', '3'], ['2', '1'], null])
    expect(Buffer.from(first.next ?? '', 'base64url').toString()).not.toContain('15550100')
  })

  it.each([
    ['an unknown filter', { nummer: '1' }, 'bad-parameter', 'nummer'],
    ['a number that is not a string', { number: 15550100 }, 'bad-parameter', 'number'],
    ['a limit that is a string', { limit: '5' }, 'bad-parameter', 'limit'],
    ['a limit of 0', { limit: 0 }, 'bad-parameter', 'limit'],
    ['an invalid time', { from: 'yesterday' }, 'bad-parameter', 'from'],
    ['a time span that ends before it begins', { from: '2026-01-31', to: '2026-01-30' }, 'bad-parameter', 'from'],
    ['a cursor that the API did not issue', { cursor: 'x' }, 'bad-parameter', 'cursor'],
    ['a list', [], 'bad-request', undefined],
    ['invalid JSON', '{', 'bad-request', undefined],
    ['nothing', '', 'bad-request', undefined],
    ['a body that is too large', { number: 'x'.repeat(40_000) }, 'bad-request', undefined],
  ])('refuses %s', async (_, body, code, parameter) => {
    const { search } = await useSearch()
    const { status, answer } = await search(body)
    expect([status, answer['type'], answer['parameter']]).toEqual([400, `urn:enigma-relay:problem:${code}`, parameter])
    expect(JSON.stringify(answer)).not.toContain('15550100')
  })

  it('rejects filters in a body that is not JSON or in the query string', async () => {
    const { search } = await useSearch()
    const headers = { 'content-type': 'text/plain' }
    expect(await search({ number: '+15550100' }, { headers })).toMatchObject({ status: 400 })
    expect((await search({}, { query: '?number=1' })).answer['type']).toMatch(/unknown-parameter$/)
  })

  it('masks numbers for the role masked, which cannot search by number or contact', async () => {
    const { commit, search } = await useSearch()
    await commit(tried(1))
    const [record] = (await search({ number: '+15550100' }, { query: '?masked=true' })).answer.items
    expect(record?.number).toMatch(/\*{3}/)
    expect((await search({ campaign: '7' }, { token: MASKED })).answer.items).toMatchObject([
      { number: record?.number },
    ])
    for (const parameter of ['number', 'contact'])
      expect(await search({ [parameter]: '1' }, { token: MASKED })).toMatchObject({
        status: 403,
        answer: { parameter },
      })
    expect(await search({}, { token: 'x'.repeat(32) })).toMatchObject({ status: 401 })
  })

  it('counts as a read: other origins and tokens without write access may use it', async () => {
    const { app, search } = await useSearch({ corsOrigin: '*' })
    const headers = { 'sec-fetch-site': 'cross-site', origin: 'https://other.example.com' }
    expect(await search({}, { headers })).toMatchObject({ status: 200 })
    const write = { method: 'POST', headers: { ...headers, authorization: `Bearer ${OPERATOR}` } }
    expect((await app.request('/parked/drain', write)).status).toBe(403)
  })
})

describe('GET /cdrs/:id', () => {
  it('returns a CDR by its id, with every digit and every field that the dialler sent', async () => {
    const { commit, json } = await useApi()
    await commit(tried('90071992547409931', { dialed_at: THEN, skill: 'gold' }))
    const [item] = (await json<Page<CdrRecord>>('/cdrs')).items
    const found = await json<CdrDetail>(`/cdrs/${item?.id}`)
    expect(found).toMatchObject({ ...item, revised: false, revisions: [] })
    expect(found.call_ref).toBe('90071992547409931')
    expect(found.payload).toMatchObject({ call_ref: '90071992547409931', skill: 'gold' })
  })

  it('keeps an earlier version of a CDR as a revision, flags the CDR, and counts it once', async () => {
    const { commit, json } = await useApi()
    await commit(tried(1, { end_reason: 'busy' }), tried(1, { end_reason: 'busy' }), tried(1, { end_reason: 'hungup' }))
    const [item, ...more] = (await json<Page<CdrRecord>>('/cdrs')).items
    expect([item?.end_reason, item?.revised, more]).toEqual(['hungup', true, []])
    expect((await json<CdrDetail>(`/cdrs/${item?.id}`)).revisions.map((revision) => revision.end_reason)).toEqual([
      'busy',
    ])
    expect((await json<CampaignDetail>('/campaigns/7')).counts).toMatchObject([{ end_reason: 'hungup', count: 1 }])
  })
})
