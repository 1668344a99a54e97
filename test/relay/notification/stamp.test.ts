import { expect, test } from 'vitest'
import { formatPacket, parseEvents, textOf } from '../../../src/protocol/index.ts'
import { type PacketOrigin } from '../../../src/relay/item.ts'
import { stamp } from '../../support/routes.ts'

const received: PacketOrigin = {
  sourceId: 'main',
  transport: 'pubsub',
  channel: 'enigma:notifications:agents:1002',
  number: 1_764_000_000_000,
  index: 17,
  timeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
}

const eventOf = (packet: string | Buffer, more: Partial<PacketOrigin> = {}) => {
  const stamped = stamp(Buffer.from(packet), { ...received, ...more })
  const event = textOf(stamped)
  return { ...stamped, event, parsed: parseEvents(event)[0] }
}

test('a packet becomes a CloudEvent with the attributes that the design names', () => {
  const packet = '{"type":"call", "payload":{"call_ref":12345678901234567890}}'
  const { parsed, route, id } = eventOf(packet)
  expect(parsed).toEqual({
    id: 'main/p/1764000000000/17',
    source: '/enigma/main',
    type: 'enigma.agents.call',
    subject: '1002',
    time: '2026-01-02T03:04:05.006Z',
    datacontenttype: 'application/json',
    data: packet,
    transport: 'pubsub',
    channel: 'enigma:notifications:agents:1002',
    sequence: '0001764000000000.0000000017',
    traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/) as string,
  })
  expect(id).toBe('main/p/1764000000000/17')
  expect(route.name).toBe('agents-call')
})

test('stamping the same packet twice gives the same notification, byte for byte', () => {
  const packet = formatPacket({ type: 'status', payload: { status: 'busy' } })
  expect(eventOf(packet).event).toBe(eventOf(packet).event)
})

test('a notification from a list has the time that it may have waited, and its lane follows its call_ref', () => {
  const cdr = (call_ref: number | string) =>
    eventOf(formatPacket({ type: 'cdr', payload: { call_ref, ref: '7' } }), {
      transport: 'list',
      channel: 'enigma:notifications:campaigns',
      maxWaitMs: 4_000,
    })
  expect(cdr(1).parsed).toMatchObject({ transport: 'list', maxwaitms: 4_000, id: 'main/l/1764000000000/17' })
  expect(cdr(1).parsed).not.toHaveProperty('subject')
  expect(cdr(1).lane).toBe(cdr('1').lane)
  expect(new Set(Array.from({ length: 100 }, (_, n) => cdr(n).lane)).size).toBeGreaterThan(30)
})

test('references above 2^53 that a double cannot distinguish can have different lanes', () => {
  const laneOf = (ref: string) =>
    eventOf(`{"type":"cdr","payload":{"call_ref":${ref}}}`, { channel: 'enigma:notifications:campaigns' }).lane
  const lanes = new Set(Array.from({ length: 20 }, (_, n) => laneOf(`90071992547409${String(n).padStart(2, '0')}123`)))
  expect(lanes.size).toBeGreaterThan(5)
  expect(laneOf('9007199254740993')).not.toBe(laneOf('9007199254740992'))
})

test.each([
  ['{"type":"status"', 'not_json', 'text/plain'],
  ['', 'empty', 'text/plain'],
  ['{"payload":{}}', 'no_type', 'application/json'],
  ['{"type":7,"payload":{}}', 'type_not_string', 'application/json'],
  ['[{"type":"status"}]', 'not_object', 'application/json'],
  ['{"type":"dance","payload":{}}', 'unknown_type', 'application/json'],
])('%j goes to the other route with the reason %s, its text unchanged', (packet, reason, datacontenttype) => {
  const { route, parsed } = eventOf(packet)
  expect(route.name).toBe('other')
  expect(parsed).toMatchObject({ reason, datacontenttype, data: packet })
})

test('a channel inside a sub_type is not mistaken for the channel of the packet', () => {
  const status = '{"type":"status","payload":{}}'
  eventOf(status, { channel: 'enigma:notifications:agents:x enigma:notifications:agents:y' })
  const odd = eventOf('{"type":"status enigma:notifications:agents:x","payload":{}}', {
    channel: 'enigma:notifications:agents:y',
  })
  expect([odd.route.name, odd.parsed?.subject, odd.parsed?.channel]).toEqual([
    'other',
    'y',
    'enigma:notifications:agents:y',
  ])
})

test('bytes that are not UTF-8 travel as they are', () => {
  const bytes = Buffer.from([0xff, 0x00, 0x7b, 0x80])
  expect(eventOf(bytes).parsed).toMatchObject({ reason: 'not_utf8', data: new Uint8Array(bytes) })
})

test('`bytes` counts UTF-8, not characters', () => {
  const { bytes, event } = eventOf(formatPacket({ type: 'status', payload: { status: 'bereit für Anrufe – ja' } }))
  expect(bytes).toBe(Buffer.byteLength(event))
  expect(bytes).toBeGreaterThan(event.length)
})
