import { agentCall, agentStatus, cdr, relayAlive } from 'enigma-relay/store'
import { describe, expect, it } from 'vitest'
import type { ChangesPage, MissingPage } from '../../src/answers/index.ts'
import { listMissing } from '../../src/api/index.ts'
import { notice, TOKEN, useApi } from './api-world.ts'

const NUMBER = '+27821234567'
const MASKED = 'masked-token-of-the-test-of-32-characters'

/** An API with two finished calls that are listed as missing. */
async function useMissing() {
  const world = await useApi({ tokens: `crm:read:${TOKEN}\nwall:masked:${MASKED}`, token: '' })
  const { store, commit } = world
  const payload = { relay: 'r1', sources: ['main'], lists: ['enigma:notifications:campaigns'], started: '' }
  await commit(relayAlive(notice(payload, { type: 'relay', transport: 'relay', timeMs: Date.now() })))
  for (const [reference, campaign_ref] of [
    ['1002', '7'],
    ['1003', '8'],
  ] as const)
    await commit(
      agentCall(
        notice(
          { call_ref: `c${reference}`, campaign_ref, contact_ref: 'A-1', number: NUMBER },
          { subType: 'call', reference },
        ),
      ),
      agentStatus(notice({ status: 'wrapup', campaign_ref }, { reference })),
    )
  expect(await listMissing(store, { waitMs: 0 })).toEqual({ found: 2, listed: 2 })
  expect(await listMissing(store, { waitMs: 0 })).toEqual({ found: 0, listed: 2 })
  return world
}

describe('GET /missing', () => {
  it('lists calls without a CDR, newest first, by campaign, agent and source, in pages', async () => {
    const { json, get } = await useMissing()
    const refs = async (query: string) =>
      (await json<MissingPage>(`/missing${query}`)).items.map(({ call_ref }) => call_ref)
    expect(await refs('')).toEqual(['c1003', 'c1002'])
    expect(await refs('?campaign=7')).toEqual(['c1002'])
    expect(await refs('?agent=1003&source=main')).toEqual(['c1003'])
    expect(await refs('?source=north')).toEqual([])
    const page = await json<MissingPage>('/missing?limit=1')
    expect(page).toMatchObject({ items: [{ call_ref: 'c1003', agent: '1003', campaign_ref: '8', number: NUMBER }] })
    expect(await refs(`?limit=1&cursor=${encodeURIComponent(page.next as string)}`)).toEqual(['c1002'])
    expect((await get('/missing?call_ref=7')).status).toBe(400)
  })

  it('masks number and contact for the role masked', async () => {
    const { app } = await useMissing()
    const text = await (await app.request('/missing', { headers: { authorization: `Bearer ${MASKED}` } })).text()
    expect(text).toContain('c1002')
    expect(text).not.toMatch(/82123|"A-1"/)
  })

  it('adds a change when a call is listed, and another when its CDR arrives', async () => {
    const { json, commit, store } = await useMissing()
    const { cursor: start } = await json<ChangesPage>('/changes')
    const call = { call_ref: 'c1004', campaign_ref: '7' }
    await commit(
      agentCall(notice(call, { subType: 'call', reference: '1004' })),
      agentStatus(notice({ status: 'wrapup', campaign_ref: '7' }, { reference: '1004' })),
    )
    expect(await listMissing(store, { waitMs: 0 })).toEqual({ found: 1, listed: 3 })
    expect((await json<ChangesPage>(`/changes?after=${start}&type=missing`)).items).toMatchObject([
      { type: 'missing', ref: '1004', state: 'missing', campaign_ref: '7', source: 'main' },
    ])
    const { cursor: before } = await json<ChangesPage>('/changes')
    const dialed_at = Math.floor(Date.now() / 1_000) - 600
    const payload = { call_ref: 'c1002', dialed_at, extension: '1002', number: NUMBER, ref: '7' }
    await commit(cdr(notice(payload, { type: 'campaigns', subType: 'cdr', transport: 'list' })))
    expect((await json<ChangesPage>(`/changes?after=${before}&type=missing`)).items).toMatchObject([
      { type: 'missing', ref: '1002', state: 'arrived', campaign_ref: '7', source: 'main' },
    ])
    expect((await json<MissingPage>('/missing')).items).toMatchObject([{ call_ref: 'c1004' }, { call_ref: 'c1003' }])
  })
})
