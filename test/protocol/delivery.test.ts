import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fromRequest, toPath, toRequest, type Notification } from '../../src/protocol/index.ts'

const base: Notification = {
  id: 'main/p/1/0',
  source: '/enigma/main',
  type: 'enigma.agents.call',
  subject: '1002',
  time: '2026-03-02T08:00:00.000Z',
  datacontenttype: 'application/json',
  data: '{"type":"call"}',
  transport: 'pubsub',
  channel: 'enigma:notifications:agents:1002',
  sequence: '1.0',
}

test.each([
  ['1002', '/agents/call/1002'],
  [undefined, '/agents/call'],
  ['', '/agents/call'],
  ['a/b c', '/agents/call/a%2Fb%20c'],
  ['10:02', '/agents/call/10%3A02'],
  ['😀', '/agents/call/%F0%9F%98%80'],
])('the path of reference %j is %s', (subject, path) => {
  expect(toPath({ type: base.type, subject })).toBe(path)
  expect(new URL(toRequest({ ...base, subject }).url).pathname).toBe(path)
})

test('a path is never shortened by a reference of dots', () => {
  for (const subject of ['.', '..', '%2E', '%2e%2e'])
    expect(new URL(toRequest({ ...base, subject }).url).pathname.split('/')).toHaveLength(4)
})

test('a notification is read back from an HTTP request unchanged, whatever its reference and its bytes', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: 'binary' }),
      fc.oneof(fc.string({ unit: 'binary' }), fc.uint8Array()),
      async (reference, data) => {
        const text = typeof data === 'string' ? data : undefined
        const one = {
          ...base,
          subject: reference,
          channel: `enigma:notifications:agents:${reference}`,
          data: text ?? data,
          maxwaitms: 5,
          reason: 'x',
        }
        const request = toRequest(one)
        const back = fromRequest(request.headers, new Uint8Array(await request.arrayBuffer()))
        expect({ ...back, subject: back.subject ?? '', data: Buffer.from(back.data).toString('hex') }).toEqual({
          ...one,
          data: Buffer.from(one.data).toString('hex'),
        })
      },
    ),
    { numRuns: 500 },
  )
})

test('an empty header counts as absent', () => {
  const headers = {
    'ce-id': 'a',
    'ce-source': 'b',
    'ce-type': 'c',
    'ce-time': '',
    'ce-subject': '',
    'content-type': '',
    'ce-maxwaitms': '',
  }
  expect(fromRequest(new Headers(headers), new Uint8Array())).toEqual({
    id: 'a',
    source: 'b',
    type: 'c',
    time: '1970-01-01T00:00:00.000Z',
    datacontenttype: 'application/json',
    data: '',
    transport: 'list',
    channel: '',
    sequence: '',
  })
})

test('a request without a required header is refused with an error that names it', () => {
  const headers = new Headers({ 'ce-id': 'a', 'ce-source': 'b' })
  expect(() => fromRequest(headers, new Uint8Array())).toThrow(
    expect.objectContaining({
      code: 'protocol.event.invalid',
      message: expect.stringContaining('ce-type') as string,
    }) as Error,
  )
})
