import { cdr, type CampaignDetail, type CdrDetail, type CdrRecord, type Page } from 'enigma-relay/store'
import { describe, expect, it } from 'vitest'
import type { Cdr } from '../../src/protocol/index.ts'
import { notice, useApi } from './api-world.ts'

/** Unix seconds of a quarter of an hour ago, on which the CDRs of these tests are laid out. */
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
  it('gives the newest first by dialed_at, whatever came first', async () => {
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
    'keeps the pages of %s/cdrs as they are while newer CDRs arrive',
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

  it('gives each CDR once when many were dialled in the same second', async () => {
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

  it('fills a page although most CDRs do not fit the filter', async () => {
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

describe('GET /cdrs/:id', () => {
  it('gives a CDR by its id, with its digits, and every field that the dialler sent', async () => {
    const { commit, json } = await useApi()
    await commit(tried('90071992547409931', { dialed_at: THEN, skill: 'gold' }))
    const [item] = (await json<Page<CdrRecord>>('/cdrs')).items
    const found = await json<CdrDetail>(`/cdrs/${item?.id}`)
    expect(found).toMatchObject({ ...item, revised: false, revisions: [] })
    expect(found.call_ref).toBe('90071992547409931')
    expect(found.payload).toMatchObject({ call_ref: '90071992547409931', skill: 'gold' })
  })

  it('keeps what else came under the same key, flags it, and counts it once', async () => {
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
