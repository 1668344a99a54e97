import { randomBytes } from 'node:crypto'
import { RESP_TYPES } from 'redis'
import { expect, test } from 'vitest'
import { formatPacket, parseEvents, toBytes } from '../../src/protocol/index.ts'
import { readMetric } from '../support/metrics.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { receiveAll, useRelay, waitFor } from '../support/relay.ts'
import { useSqs } from '../support/sqs.ts'

const MIB = 1024 * 1024
const AGENT = 'enigma:notifications:agents:1002'
const LIST = 'enigma:notifications:campaigns'

/** Packets that the relay sends on the route `other`, with this reason and these bytes. */
const BAD: readonly { readonly bytes: Buffer; readonly reason: string; readonly channel?: string }[] = [
  { bytes: Buffer.from('this is not JSON {'), reason: 'not_json' },
  { bytes: Buffer.from(''), reason: 'empty' },
  { bytes: Buffer.from('{"payload":{"ref":"1"}}'), reason: 'no_type' },
  { bytes: Buffer.from('{"type":17,"payload":{}}'), reason: 'type_not_string' },
  { bytes: Buffer.from('[{"type":"status","payload":{}}]'), reason: 'not_object' },
  { bytes: Buffer.from('"only a text"'), reason: 'not_object' },
  { bytes: Buffer.from([0x7b, 0xff, 0xfe, 0x00, 0x80, 0x0d, 0x0a]), reason: 'not_utf8' },
  { bytes: Buffer.from('{"type":"dance","payload":{"emoji":"💃","\\u0000":1}}'), reason: 'unknown_type' },
  { bytes: Buffer.from('{"type":"status","payload":{}}'), reason: 'key_outside_scheme', channel: 'other:key' },
  {
    bytes: Buffer.from('{"type":"status","payload":{}}'),
    reason: 'unknown_type',
    channel: 'enigma:notifications:robots',
  },
  { bytes: Buffer.from('{"type":"status","payload":{}}'), reason: 'no_key_type', channel: 'enigma:notifications' },
]

const good = (n: number) => formatPacket({ type: 'status', payload: { status: 'busy', n } })
const goodCdr = (n: number) => formatPacket({ type: 'cdr', payload: { call_ref: 1, n } })
const numberIn = (data: string | Uint8Array) => (JSON.parse(String(data)) as { payload: { n: number } }).payload.n

async function useStreet() {
  const [redis, sqs] = [await useRedisServer(), await useSqs()]
  const client = await useRedisClient(redis.url)
  const relay = await useRelay({
    redisUrl: redis.url,
    endpoint: sqs.endpoint,
    lists: [LIST, 'other:key', 'enigma:notifications:robots', 'enigma:notifications'],
    channels: ['enigma:notifications*', 'other:*'],
  })
  return { client, sqs, relay }
}

test.each(['pubsub', 'list'] as const)(
  'G5: every malformed packet by %s arrives with its bytes and a reason, and its neighbours arrive too',
  async (transport) => {
    const { client, sqs, relay } = await useStreet()
    const send = (key: string, bytes: string | Buffer) =>
      transport === 'list' ? client.lPush(key, bytes) : client.publish(key, bytes)
    const [home, route] = transport === 'list' ? [LIST, 'campaigns-cdr'] : [AGENT, 'agents-status']
    for (const [n, { bytes, channel }] of BAD.entries()) {
      await send(home, transport === 'list' ? goodCdr(n) : good(n))
      await send(channel ?? home, bytes)
    }
    const others = await receiveAll(sqs, 'other', BAD.length)
    const seen = others.map(({ data, reason, channel }) => ({
      reason,
      channel,
      bytes: Buffer.from(toBytes(data)).toString('hex'),
    }))
    expect(seen).toHaveLength(BAD.length)
    for (const { bytes, reason, channel = home } of BAD)
      expect(seen).toContainEqual({ reason, channel, bytes: bytes.toString('hex') })
    expect((await receiveAll(sqs, route, BAD.length)).map(({ data }) => numberIn(data))).toEqual(BAD.map((_, n) => n))
    for (const reason of new Set(BAD.map((bad) => bad.reason))) {
      expect(await readMetric(relay.address, 'other_total', { reason })).toBe(
        BAD.filter((bad) => bad.reason === reason).length,
      )
    }
    expect(await readMetric(relay.address, 'received_total', { transport, route: 'other' })).toBe(BAD.length)
  },
)

test.each(['pubsub', 'list'] as const)(
  'a 10 MiB packet by %s arrives if gzip makes it small enough, else it is parked with its bytes; its neighbours arrive',
  async (transport) => {
    const { client, sqs, relay } = await useStreet()
    const [home, route] =
      transport === 'list' ? [LIST, 'campaigns-cdr'] : ['enigma:notifications:campaigns:7', 'campaigns-dial_preview']
    const packet = (n: number, filler = '') =>
      formatPacket({
        type: transport === 'list' ? 'cdr' : 'dial_preview',
        payload: { call_ref: 1, n, callees: [], filler },
      })
    const noise = randomBytes(10 * MIB)
    const send = (bytes: string | Buffer) =>
      transport === 'list' ? client.lPush(home, bytes) : client.publish(home, bytes)
    for (const bytes of [packet(0), packet(1, 'a call and '.repeat(MIB)), noise, packet(2)]) await send(bytes)

    const received = await receiveAll(sqs, route, 3)
    expect(received.map(({ data }) => numberIn(data))).toEqual([0, 1, 2])
    expect(received[1]?.data).toBe(packet(1, 'a call and '.repeat(MIB)))

    await waitFor(async () => (await client.lLen('enigma:relay:parked')) === 1, 'it to be parked')
    const [entry] = await client
      .withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
      .lRange('enigma:relay:parked', 0, -1)
    const parked = JSON.parse(String(entry)) as {
      id: string
      reason: string
      detail: string
      route: string
      parkedat: string
      event: object
    }
    expect(parked).toMatchObject({
      reason: 'too_large',
      route: 'other',
      detail: expect.stringContaining('1048576') as string,
    })
    const [event] = parseEvents(JSON.stringify(parked.event))
    expect(event?.id).toBe(parked.id)
    expect(Buffer.compare(Buffer.from(toBytes(event?.data ?? '')), noise)).toBe(0)
    await waitFor(
      async () => (await readMetric(relay.address, 'parked_total', { reason: 'too_large' })) === 1,
      'it to be counted',
    )
    await waitFor(
      async () => (await readMetric(relay.address, 'parked', { source: 'main' })) === 1,
      'the parked list to be counted',
    )
    await waitFor(
      async () =>
        (await readMetric(relay.address, 'held')) === 0 && (await readMetric(relay.address, 'journal_rows')) === 0,
      'nothing to be left',
    )
    await waitFor(
      async () => (await client.keys('enigma:relay:claim*')).every((key) => key === 'enigma:relay:claims:test'),
      'the claims to be deleted',
    )
  },
)
