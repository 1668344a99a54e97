import { CloudEvent, HTTP } from 'cloudevents'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseEvents, textOf, toBytes, toRequest, type Notification } from '../../src/protocol/index.ts'
import { formatNotice, stampNotice } from '../../src/relay/notice.ts'
import { stamp } from '../support/routes.ts'

/* Every event that the relay can write passes the strict validation of the official SDK, which other consumers of the queues use. */

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom(
    '',
    ' ',
    '\t',
    '\u0000',
    '\u001f\u007f',
    '\ud800',
    '\ufeff',
    'ä😀',
    '%',
    'a b',
    '*',
    'x'.repeat(40_000),
  ),
)
const channels = fc.oneof(
  fc
    .tuple(fc.constantFrom('agents', 'agent', 'campaigns', 'dialers', 'inbound', 'cdr', '', 'A.b'), anyText)
    .map(([type, reference]) => `enigma:notifications:${type}:${reference}`),
  fc.constantFrom(
    'enigma:notifications',
    'enigma:notifications:',
    'enigma:notifications:agents',
    'enigma:notifications:agents:',
    '',
  ),
  anyText,
)
const packets = fc.oneof(
  fc
    .tuple(
      fc.constantFrom<unknown>('status', 'call', 'cdr', '*', '', ' ', 'Status', 'a.b', 'ä', 7, null, true),
      fc.jsonValue(),
    )
    .map(([type, payload]) => toBytes(JSON.stringify({ type, payload }))),
  anyText.map((type) => toBytes(JSON.stringify({ type, payload: { ref: type } }))),
  fc.json({ stringUnit: 'binary' }).map(toBytes),
  fc.uint8Array(),
  fc
    .constantFrom(
      '',
      '\ufeff',
      '\ufeff{"type":"status","payload":{}}',
      ' null ',
      '0',
      '""',
      '[]',
      '{"type":"a\\u0000"}',
    )
    .map(toBytes),
)
const received = fc.record({
  sourceId: fc.constantFrom('main', 'click2dial-1', 'a.b_c'),
  transport: fc.constantFrom('list' as const, 'pubsub' as const),
  channel: channels,
  number: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  index: fc.nat(0xffff_ffff),
  timeMs: fc.integer({ min: 0, max: 8.64e15 / 40 }),
  maxWaitMs: fc.option(fc.double({ min: -1e12, max: 1e300, noNaN: true }), { nil: undefined }),
})

test('any packet on any channel becomes an event that the SDK accepts, over SQS and over HTTP', () => {
  fc.assert(
    fc.property(packets, received, (packet, about) => {
      const event = textOf(stamp(packet, about))
      expect(() => new CloudEvent(JSON.parse(event) as object, true)).not.toThrow()
      const [notification] = parseEvents(event) as [Notification]
      for (const [name, value] of Object.entries(JSON.parse(event) as Record<string, unknown>))
        if (name !== 'data' && name !== 'data_base64') expect(value, name).not.toBe('')
      // The SDK parses the body as JSON by itself where the type says so; a mark before it is not for its parser.
      const headers = Object.fromEntries(toRequest(notification).headers)
      const taken = HTTP.toEvent({ headers, body: undefined }) as CloudEvent<unknown>
      expect([taken.id, taken.type, taken.source]).toEqual([notification.id, notification.type, notification.source])
    }),
    { numRuns: 2_000 },
  )
})

test('the notices of the relay are valid events too, whatever text they contain', () => {
  fc.assert(
    fc.property(anyText, fc.constantFrom('alive', 'gap', 'parked'), (text, subType) => {
      const payload = { relay: text, id: text, source: text, cause: text }
      const notice = stampNotice(formatNotice({ subType, payload } as never), {
        sourceId: 'main',
        number: 1,
        index: 0,
        timeMs: 0,
      })
      expect(() => new CloudEvent(JSON.parse(textOf(notice)) as object, true)).not.toThrow()
    }),
    { numRuns: 200 },
  )
})

test.each([
  ['enigma:notifications:agents:', '{"type":"status","payload":{"ref":"1002"}}'],
  ['enigma:notifications:agents: ', '{"type":"status","payload":{"ref":"1002"}}'],
  ['enigma:notifications:agents', '{"type":"status","payload":{"ref":""}}'],
  ['enigma:notifications:campaigns', '{"type":"cdr","payload":{"ref":"","call_ref":""}}'],
])('%s with %s has no subject', (channel, packet) => {
  const about = { sourceId: 'main', transport: 'pubsub', channel, number: 1, index: 0, timeMs: 0 } as const
  const event = JSON.parse(textOf(stamp(toBytes(packet), about))) as Record<string, unknown>
  expect(event).not.toHaveProperty('subject')
  expect(() => new CloudEvent(event, true)).not.toThrow()
})

test('if the reference in the channel is empty, the reference in the payload determines the lane', () => {
  const laneOf = (channel: string, payload: object) =>
    stamp(toBytes(JSON.stringify({ type: 'status', payload })), {
      sourceId: 'main',
      transport: 'pubsub',
      channel,
      number: 1,
      index: 0,
      timeMs: 0,
    }).lane
  const expected = laneOf('enigma:notifications:agents:1002', {})
  expect(laneOf('enigma:notifications:agents:', { ref: '1002' })).toBe(expected)
  expect(laneOf('enigma:notifications:agents', { ref: 1002, call_ref: '' })).toBe(expected)
  expect(laneOf('enigma:notifications:agents', { ref: 1002, call_ref: '<unknown>' })).toBe(expected)
})
