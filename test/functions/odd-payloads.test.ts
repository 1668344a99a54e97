import { expect, test } from 'vitest'
import { joinEvents, textOf, toBytes } from '../../src/protocol/index.ts'

import type { CdrDetail, CdrRecord, Page } from '../../src/store/index.ts'
import { loadHandlers } from '../support/handlers.ts'
import { useApi } from '../api/api-world.ts'
import { stamp } from '../support/routes.ts'

const CAMPAIGNS = 'enigma:notifications:campaigns'
const nowSeconds = Math.floor(Date.now() / 1_000) - 60

/** The path of a packet on the CDR list: the stamp of the relay, the functions, the read model and the API. */
async function useCdrs() {
  const api = await useApi()
  const parked: string[] = []
  const handlers = await loadHandlers({
    store: api.store,
    park: (one) => Promise.resolve(void parked.push(one.reason)),
    postpone: () => Promise.resolve(),
  })
  let index = 0
  const push = async (...payloads: string[]): Promise<void> => {
    const stamped = payloads.map((payload) =>
      stamp(toBytes(payload.replace(/^(\ufeff?)(.*)$/s, '$1{"type":"cdr","payload":$2}')), {
        sourceId: 'main',
        transport: 'list',
        channel: CAMPAIGNS,
        number: 1,
        index: index++,
        timeMs: Date.now(),
      }),
    )
    const record = {
      messageId: `m${index}`,
      receiptHandle: 'r',
      body: joinEvents(stamped.map(textOf)),
      messageAttributes: {},
      attributes: { ApproximateReceiveCount: '1', MessageGroupId: '1' },
      eventSourceARN: 'arn:aws:sqs:us-east-1:0:enigma-campaigns-cdr.fifo',
    }
    expect(await handlers.get('enigma-campaigns-cdr.fifo')?.({ Records: [record] })).toEqual({ batchItemFailures: [] })
  }
  const list = async () => (await api.json<Page<CdrRecord>>('/cdrs?limit=500')).items
  return { ...api, parked, push, list }
}

test('references differ if their digits differ as written, in every form of number', async () => {
  const { push, list, parked } = await useCdrs()
  const refs = ['1764000000.10', '1764000000.1', '1764000000.100', '1e3', '1000', '1000.0', '12345678901234567890']
  // As text they are the very same CDRs.
  for (const quote of ['', '"']) {
    await push(...refs.map((ref) => `{"call_ref":${quote}${ref}${quote},"dialed_at":${nowSeconds}}`))
    expect((await list()).map(({ call_ref }) => String(call_ref)).toSorted()).toEqual(refs.toSorted())
  }
  expect(parked).toEqual([])
})

test('a CDR with odd fields is listed, and the time of receipt replaces an unknown dialed_at', async () => {
  const { push, list, parked, json } = await useCdrs()
  const nothing = ['false', 'null', '""', '"   "', '"<unknown>"', '"NULL"', '[]', '{}']
  const odd = [
    'true',
    '-1',
    '"many"',
    '"00:01:23"',
    '"12,5"',
    '{"a":1}',
    '[1]',
    '1e999',
    '"2026-02-30"',
    '99999999999999',
  ]
  const fields = [
    'dialed_at',
    'extension',
    'number',
    'contact_ref',
    'end_code',
    'call_time',
    'hold_time',
    'recording_url',
    'ref',
  ]
  const payloads = [...nothing, ...odd].map(
    (value, at) =>
      `{"call_ref":"c${at}",${fields.map((name) => `"${name}":${value}`).join(',')},"end_reason":"hungup"}`,
  )
  await push(...payloads, `\ufeff{"call_ref":"behind a mark","dialed_at":${nowSeconds}}`)
  await push(`{"call_ref":false,"dialed_at":${nowSeconds * 1_000},"number":"27821234567"}`)
  const all = await list()
  expect(parked).toEqual([])
  expect(all).toHaveLength(payloads.length + 2)
  for (const { dialed_at, extension } of all) {
    expect(Math.abs(Date.parse(dialed_at) - Date.now())).toBeLessThan(120_000)
    expect(extension).not.toBe('false')
    expect(await json<Page<CdrRecord>>(`/cdrs?from=${encodeURIComponent(dialed_at)}`)).toHaveProperty('items')
  }
  const numbered = all.find(({ number }) => number === '27821234567')
  expect(numbered).toMatchObject({ call_ref: null, dialed_at: new Date(nowSeconds * 1_000).toISOString() })
  const clock = all.find(({ call_ref }) => call_ref === `c${nothing.length + odd.indexOf('"00:01:23"')}`)
  expect(clock).toMatchObject({ call_time: 83, hold_time: 83, end_code: null, unsure: ['dialed_at', 'end_code'] })
  expect((await json<CdrDetail>(`/cdrs/${clock?.id}`)).payload).toMatchObject({
    dialed_at: '00:01:23',
    end_code: '00:01:23',
  })
})
