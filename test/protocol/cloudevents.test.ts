import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  formatEvent,
  isSqsText,
  joinEvents,
  parseEvents,
  readPacket,
  toBytes,
  type Notification,
} from '../../src/protocol/index.ts'

const notification = (bytes: Uint8Array, own: Partial<Notification> = {}): Notification => {
  const { data, contentType } = readPacket(bytes)
  return {
    id: 'main/l/1764000000000/0',
    source: '/enigma/main',
    type: 'enigma.agents.status',
    time: '2026-03-02T08:00:00.000Z',
    datacontenttype: contentType,
    data,
    transport: 'list',
    channel: 'enigma:notifications:agents',
    sequence: '0001764000000000.0000000000',
    ...own,
  }
}

const packets = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.constantFrom('', ' ', '\n\t'), fc.json({ stringUnit: 'binary' }), fc.constantFrom('', ' ', '\r\n'))
      .map((parts) => toBytes(parts.join(''))),
  },
  { weight: 2, arbitrary: fc.string({ unit: 'binary' }).map(toBytes) },
  { weight: 2, arbitrary: fc.uint8Array() },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom(
        '{"type":"cdr","payload":{"call_ref":12345678901234567890,"x":1.0,"y":1e5,"z":-0}}',
        '{ "type" : "call" , "payload" : "😀" }',
        '{"type":"a","type":"b"}',
        '{"type":"\\u00e9\\ud83d\\ude00\\/"}',
        '\ufeff{"type":"a"}',
        '{"type":"\ufffe\uffff"}',
        '{"type":"\u2028\u007f"}',
        '',
        ' ',
        'null',
        '{"data":1}',
        '"\\ud800"',
      )
      .map(toBytes),
  },
)

test('packets are read back from a pack byte for byte, and SQS accepts every character of the body', () => {
  fc.assert(
    fc.property(fc.array(packets, { minLength: 1, maxLength: 6 }), fc.string({ unit: 'binary' }), (many, reference) => {
      const body = joinEvents(
        many.map((bytes) =>
          formatEvent(notification(bytes, { subject: reference, channel: `enigma:notifications:agents:${reference}` })),
        ),
      )
      expect(isSqsText(body)).toBe(true)
      const out = parseEvents(body)
      expect(out.map(({ data }) => Buffer.from(toBytes(data)).toString('hex'))).toEqual(
        many.map((bytes) => Buffer.from(bytes).toString('hex')),
      )
      for (const { subject, channel } of out)
        expect([subject ?? '', channel]).toEqual([reference, `enigma:notifications:agents:${reference}`])
    }),
    { numRuns: 3_000 },
  )
})

test('a dial_preview of 3 MiB is read back unchanged', () => {
  const callees = Array.from({ length: 50_000 }, (_, index) => ({
    number: `2782${index}`,
    contact_ref: `é${index}`,
    note: 'xxxxxxxxxxxx',
  }))
  const packet = JSON.stringify({ type: 'dial_preview', payload: { ref: '12', callees } })
  expect(packet.length).toBeGreaterThan(3 * 1024 * 1024)
  expect(parseEvents(formatEvent(notification(toBytes(packet))))[0]?.data).toBe(packet)
})

test('every attribute is read back; absent ones stay absent', () => {
  const bare = notification(toBytes('{}'))
  expect(parseEvents(formatEvent(bare))).toEqual([bare])
  const full = { ...bare, subject: '1002', traceparent: '00-1-2-01', maxwaitms: 17, reason: 'no_type' }
  expect(parseEvents(formatEvent(full))).toEqual([full])
  expect(parseEvents(formatEvent({ ...bare, maxwaitms: 1e12 }))[0]?.maxwaitms).toBe(0x7fffffff)
})

test('events of other producers are accepted, in any order of members, with other extensions and without ours', () => {
  const foreign = { data: { b: 1 }, extra: 'x', type: 'com.example.thing', specversion: '1.0', source: '/x', id: 'a' }
  expect(parseEvents(JSON.stringify(foreign, undefined, 2))[0]).toMatchObject({
    id: 'a',
    type: 'com.example.thing',
    data: '{\n    "b": 1\n  }',
    datacontenttype: 'application/json',
  })
  expect(
    parseEvents(JSON.stringify([{ ...foreign, datacontenttype: 'text/plain', data: 'plain "text"' }]))[0]?.data,
  ).toBe('plain "text"')
  expect(parseEvents(JSON.stringify({ ...foreign, datacontenttype: '', subject: '' }))[0]).toMatchObject({
    data: '{"b":1}',
    datacontenttype: 'application/json',
  })
  expect(parseEvents('[]')).toEqual([])
})

test.each([
  ['nonsense', 'JSON'],
  ['5', 'JSON object'],
  ['[[]]', 'JSON object'],
  ['{}', 'specversion'],
  ['{"specversion":"0.3","id":"a","source":"b","type":"c"}', 'specversion'],
  ['{"specversion":"1.0","source":"b","type":"c"}', 'id'],
  ['{"specversion":"1.0","id":"a","source":"b","type":5}', 'type'],
  ['{"specversion":"1.0","id":"a","source":"b","type":"c","data_base64":"*"}', 'data_base64'],
])('%s is refused, naming what is wrong', (body, words) => {
  expect(() => parseEvents(body)).toThrow(
    expect.objectContaining({
      code: 'protocol.event.invalid',
      message: expect.stringContaining(words) as string,
    }) as Error,
  )
})
