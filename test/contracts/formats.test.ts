import { expect, test } from 'vitest'
import { readFileSync } from 'node:fs'
import {
  formatEvent,
  joinEvents,
  parseEvents,
  textOf,
  toBytes,
  toPath,
  toRequest,
  type Notification,
} from '../../src/protocol/index.ts'
import { stamp } from '../support/routes.ts'

/**
 * The formats on the wire. Queues hold messages for fourteen days, so every later version must be able to read these examples: add
 * examples, but never change one.
 */
type Example = {
  name: string
  packet: string
  channel: string
  transport: 'list' | 'pubsub'
  number: number
  index: number
  timeMs: number
  maxWaitMs?: number
  event: string
  path: string
  lane: number
  queue: string
}

const examples = JSON.parse(readFileSync(new URL('./formats.json', import.meta.url), 'utf8')) as Example[]

test.each(examples)(
  '$name',
  ({ packet, channel, transport, number, index, timeMs, maxWaitMs, event, path, lane, queue }) => {
    const stamped = stamp(Buffer.from(packet, 'base64'), {
      sourceId: 'main',
      transport,
      channel,
      number,
      index,
      timeMs,
      maxWaitMs,
    })
    expect(textOf(stamped)).toBe(event)
    expect(stamped.lane).toBe(lane)
    expect(stamped.route.name).toBe(queue)
    const [read] = parseEvents(event) as [Notification]
    expect(formatEvent(read)).toBe(event)
    expect(Buffer.from(toBytes(read.data)).toString('base64')).toBe(packet)
    expect(toPath(read)).toBe(path)
    const { headers } = toRequest(read)
    expect(headers.get('ce-id')).toBe(stamped.id)
  },
)

test('every example is a CloudEvent 1.0', () => {
  for (const { event } of examples) {
    const parsed = JSON.parse(event) as Record<string, unknown>
    expect(parsed).toMatchObject({
      specversion: '1.0',
      id: expect.any(String),
      source: expect.stringMatching(/^\/enigma\//),
      type: expect.stringMatching(/^enigma\./),
    })
    for (const name of Object.keys(parsed)) if (name !== 'data_base64') expect(name).toMatch(/^[a-z0-9]{1,20}$/)
    expect(new Date(String(parsed['time'])).toISOString()).toBe(parsed['time'])
    expect('data' in parsed !== 'data_base64' in parsed).toBe(true)
  }
})

test('several events are joined in the batch format; a single event is not wrapped', () => {
  const events = examples.map(({ event }) => event)
  expect(joinEvents(events.slice(0, 1))).toBe(events[0])
  expect(joinEvents(events)).toBe(`[${events.join(',')}]`)
  expect(parseEvents(joinEvents(events)).map(formatEvent)).toEqual(events)
})
