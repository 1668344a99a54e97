import * as v from 'valibot'
import { expect, test } from 'vitest'
import {
  AgentCall,
  AgentStatus,
  Cdr,
  DialPreview,
  AgentStats,
  maskNumber,
  maskPayload,
  maskText,
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

test('a CDR: no agent, an end reason nobody knows, a time as text', () => {
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

test('an empty field is not known, and no reason to refuse a call or a CDR; one that does not fit is named', () => {
  expect(v.parse(AgentCall, { ref: '', call_ref: '', agent: '', number: 1 })).toEqual({
    ref: null,
    call_ref: null,
    agent: null,
    number: '1',
  })
  expect(v.parse(Cdr, { call_ref: 7, dialed_at: 1, end_code: '', hold_time: '', extension: '' })).toEqual({
    call_ref: '7',
    dialed_at: 1,
    end_code: null,
    hold_time: null,
    extension: null,
  })
  const { issues = [] } = v.safeParse(AgentCall, { number: { deep: 1 } })
  expect(issues.map((issue) => [v.getDotPath(issue), issue.message])).toEqual([['number', 'must be text or a number']])
})

test.each([
  [AgentStatus, {}],
  [AgentStatus, { status: '' }],
  [AgentStatus, 'status'],
  [Cdr, { call_ref: 7 }],
  [Cdr, { call_ref: 7, dialed_at: 'noon' }],
  [Cdr, { dialed_at: 1 }],
  [DialPreview, { callees: 'none' }],
  [AgentStats, { calls: 'many' }],
])('what is needed and not there is refused', (schema, payload) => {
  expect(v.safeParse(schema, payload).success).toBe(false)
})

test('personal fields are masked wherever they stand, and numbers in foreign text too', () => {
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
