import fc from 'fast-check'
import * as v from 'valibot'
import { expect, test } from 'vitest'
import {
  AgentCall,
  AgentStatus,
  CampaignStats,
  Cdr,
  DialPreview,
  AgentStats,
  InboundCall,
  PAYLOADS,
  parseExact,
  maskNumber,
  maskPayload,
  maskText,
  orderKey,
} from '../../src/protocol/index.ts'

test('numbers may come as text and text as numbers, and unknown fields are kept', () => {
  expect(v.parse(AgentStatus, { ref: 1002, status: 'available', campaign_ref: 12, mood: { deep: [1] } })).toEqual({
    ref: '1002',
    status: 'available',
    campaign_ref: '12',
    mood: { deep: [1] },
  })
  expect(v.parse(AgentCall, { call_ref: '9007199254740993', agent: null, number: 27821234567 })).toEqual({
    call_ref: '9007199254740993',
    agent: null,
    number: '27821234567',
  })
  expect(v.parse(AgentStats, { calls: '3', talk_time: 5000.5 })).toEqual({ calls: 3, talk_time: 5000.5 })
  expect(v.parse(DialPreview, { ref: 5, callees: [{ number: 1, contact_ref: 'x', extra: 1 }, {}] })).toEqual({
    ref: '5',
    callees: [{ number: '1', contact_ref: 'x', extra: 1 }, {}],
  })
})

test('a CDR without an agent, with an unknown end reason and times as text is read', () => {
  const cdr = v.parse(Cdr, {
    extension: null,
    call_ref: 7,
    dialed_at: '1764000000',
    end_reason: 'abducted',
    end_code: '16',
    call_time: 1,
    hold_time: 0,
  })
  expect(cdr).toEqual({
    extension: null,
    call_ref: '7',
    dialed_at: 1764000000,
    end_reason: 'abducted',
    end_code: 16,
    call_time: 1,
    hold_time: 0,
  })
})

/** The values that programming languages write for an unknown value. */
const NOTHING = [
  null,
  false,
  '',
  '   ',
  '\t\ufeff',
  'NULL',
  'null',
  'None',
  'nil',
  'undefined',
  'NaN',
  'N/A',
  '\\N',
  '<unknown>',
]
const MORE_NOTHING = ['(null)', '<null>', '<nil>', '[]', '{}', [], {}]

test.each([...NOTHING, ...MORE_NOTHING])('%j means "not known" in every field, and parks no CDR or call', (nothing) => {
  const fieldsOf = (schema: { readonly entries: object }) => Object.keys(schema.entries)
  for (const schema of [Cdr, AgentCall, InboundCall, AgentStats, CampaignStats]) {
    const names = fieldsOf(schema)
    const all = v.safeParse(schema, {
      ...Object.fromEntries(names.map((name) => [name, nothing])),
      extension: '1002',
    })
    expect(all.success).toBe(true)
    for (const name of names)
      if (name !== 'extension') expect((all.output as Record<string, unknown>)[name], name).toBeNull()
    expect(all.output).not.toHaveProperty('unsure')
  }
  expect(v.safeParse(AgentStatus, { status: nothing }).success).toBe(false)
  expect(v.parse(DialPreview, { callees: nothing })).toEqual({ callees: [] })
})

test('a value with a meaning is kept: 0, anonymous, a name that only begins like an empty value', () => {
  const said = ['0', 'anonymous', 'unknown', 'Nullarbor', 'none-1', '(1002)', '<1002>', ' 1002 ', '-']
  for (const number of said) expect(v.parse(AgentCall, { number })).toEqual({ number })
  expect(v.parse(Cdr, { call_ref: 0, call_time: 0, end_code: '0' })).toEqual({
    call_ref: '0',
    dialed_at: null,
    call_time: 0,
    end_code: 0,
  })
})

test('a field that cannot be read is null and listed in unsure with the value sent; the CDR is still accepted', () => {
  const odd = {
    call_ref: { a: 1 },
    dialed_at: 'noon',
    extension: true,
    number: ['27821234567'],
    end_code: -1,
    call_time: '01:23',
    hold_time: '1,500',
  }
  const nulls = Object.fromEntries(Object.keys(odd).map((name) => [name, null]))
  expect(v.parse(Cdr, { ...odd, end_reason: 'hungup', skill: 'gold' })).toEqual({
    ...nulls,
    end_reason: 'hungup',
    skill: 'gold',
    unsure: odd,
  })
  expect(v.parse(Cdr, odd)).toEqual({ ...nulls, unsure: odd })
  expect(
    v.parse(Cdr, { call_ref: 7, dialed_at: '2025-11-24 16:00:00', call_time: '00:01:23', hold_time: '12,5' }),
  ).toEqual({
    call_ref: '7',
    dialed_at: 1_764_000_000,
    call_time: 83,
    hold_time: 12.5,
    unsure: { dialed_at: '2025-11-24 16:00:00' },
  })
  expect(v.parse(AgentCall, { number: { deep: 1 } })).toEqual({ number: null, unsure: { number: { deep: 1 } } })
  expect(v.parse(AgentStats, { calls: 'many', talk_time: '-5' })).toEqual({
    calls: null,
    talk_time: null,
    unsure: { calls: 'many', talk_time: '-5' },
  })
  expect(v.parse(DialPreview, { callees: [{ number: [1] }] })).toEqual({
    callees: [{ number: null, unsure: { number: [1] } }],
  })
})

test('a CDR needs no single field: without a reference or a time those are null', () => {
  expect(v.parse(Cdr, { number: '27821234567' })).toEqual({ call_ref: null, dialed_at: null, number: '27821234567' })
  expect(v.parse(Cdr, { call_ref: 7, unsure: { number: 1 } })).toEqual({ call_ref: '7', dialed_at: null })
})

test.each([
  [AgentStatus, {}],
  [AgentStatus, { status: '' }],
  [AgentStatus, { status: true }],
  [AgentStatus, 'status'],
  [Cdr, {}],
  [Cdr, []],
  [Cdr, [{ call_ref: 7 }]],
  [Cdr, { call_ref: '', dialed_at: null, skill: 'gold' }],
  [Cdr, 'cdr'],
  [DialPreview, { callees: 'none at all' }],
  [DialPreview, { callees: { number: 1 } }],
])('a payload without its required fields is refused: %#', (schema, payload) => {
  expect(v.safeParse(schema, payload).success).toBe(false)
})

test('every text field keeps the digits of a number, in any notation', () => {
  // The parser knows identifiers by their names: it must know all that the schemas take as text.
  const ODD = [
    '1764000000.10',
    '1764000000.1',
    '1e3',
    '1.0',
    '-0',
    '12345678901234567890',
    '1E+2',
    '0.0000001',
    '1e400',
  ]
  const schemas = Object.values(PAYLOADS).filter((schema) => 'entries' in schema && 'ref' in schema.entries)
  expect(schemas.length).toBeGreaterThan(7)
  for (const schema of schemas) {
    const isText = (name: string) =>
      (
        v.safeParse(schema, { status: 'busy', callees: [], call_ref: 1, [name]: 'word' }).output as Record<
          string,
          unknown
        >
      )[name] === 'word'
    for (const name of Object.keys(schema.entries).filter((field) => field !== 'callees' && isText(field)))
      for (const digits of ODD)
        expect((parseExact(`{"payload":{"${name}": ${digits}}}`) as { payload: object }).payload).toEqual({
          [name]: digits === '1764000000.1' ? 1_764_000_000.1 : digits,
        })
  }
})

test('any payload is read or refused, and can be masked, without an exception', () => {
  const names = [...new Set(Object.values(PAYLOADS).flatMap((schema) => Object.keys(schema.entries)))]
  const odd = fc.constantFrom<unknown>(
    { toString: null },
    { toString: 1, valueOf: null },
    [{ toString: null }],
    { length: -1 },
    { __proto__: null },
  )
  const anything = fc.dictionary(
    fc.constantFrom(...names, 'unsure', '__proto__', 'other'),
    fc.oneof(odd, fc.jsonValue()),
    { maxKeys: 8 },
  )
  fc.assert(
    fc.property(
      fc.oneof({ weight: 5, arbitrary: anything }, { weight: 1, arbitrary: fc.oneof(odd, fc.jsonValue()) }),
      (payload) => {
        for (const schema of Object.values(PAYLOADS))
          expect(typeof v.safeParse(schema, payload).success).toBe('boolean')
        orderKey(undefined, payload)
        maskText('some text', payload)
        JSON.stringify(maskPayload(payload))
      },
    ),
    { numRuns: 1_000 },
  )
})

test('personal fields are masked at any depth, and so are phone numbers in text', () => {
  expect(maskNumber('27821234567')).toBe('27*******67')
  expect(maskNumber('1234')).toBe('****')
  expect(
    maskPayload({
      ref: '1002',
      number: 27821234567,
      deep: [{ contact_ref: 'abc', recording_url: null }],
      callees: [{ number: '1' }, {}],
    }),
  ).toEqual({
    ref: '1002',
    number: '27*******67',
    deep: [{ contact_ref: '***', recording_url: null }],
    callees: '2 masked',
  })
  expect(maskText('called 27821234567 twice')).not.toContain('27821234567')
})
