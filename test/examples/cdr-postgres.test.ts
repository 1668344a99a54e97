import { afterAll, expect, test } from 'vitest'
import { app, CDR_TABLE } from '../../examples/cdr-postgres.ts'
import { fromSqs } from '../../src/adapter/index.ts'
import { formatPacket, formatSequence, type Notification } from '../../src/protocol/index.ts'
import { sqsEvent, sqsRecord } from '../adapter/factories.ts'
import { startPostgres } from '../support/postgres.ts'
import { useStore } from '../support/store.ts'

// One for all tests: it takes seconds to start.
const postgres = await startPostgres()
await postgres.db.exec(CDR_TABLE)
process.env['CDR_DATABASE_URL'] = postgres.url
afterAll(() => postgres.close())

async function useCdrFunction() {
  await postgres.db.exec('delete from cdrs')
  const { store } = await useStore()
  const handler = fromSqs(app, {
    commit: store.commit,
    recall: store.recall,
    attempts: 10,
    postpone: async () => undefined,
  })
  const rows = async () =>
    (await postgres.db.query<Record<string, unknown>>('select * from cdrs order by call_ref')).rows
  return { store, handler, rows }
}

const NOW = Date.now()
const DIALED = Math.floor(NOW / 1000) - 60

const cdr = (callRef: string, index: number, more: Record<string, unknown> = {}): Notification => ({
  id: `main/l/9/${index}`,
  source: '/enigma/main',
  type: 'enigma.campaigns.cdr',
  time: new Date(NOW + index).toISOString(),
  datacontenttype: 'application/json',
  data: formatPacket({
    type: 'cdr',
    payload: {
      call_ref: callRef,
      dialed_at: DIALED,
      extension: null,
      number: '27821234567',
      end_reason: 'busy',
      ref: '12',
      ...more,
    },
  }),
  transport: 'list',
  channel: 'enigma:notifications:campaigns',
  sequence: formatSequence(9, index),
})

test('a CDR becomes one row with every digit of its call_ref, however often it is delivered', async () => {
  const { handler, rows } = await useCdrFunction()
  const one = cdr('9007199254740993', 1)
  const event = sqsEvent(sqsRecord([one, cdr('9007199254740993', 2)], { messageId: 'a' }))
  expect((await handler(event)).batchItemFailures).toEqual([])
  expect((await handler(event)).batchItemFailures).toEqual([])
  expect(await rows()).toMatchObject([
    {
      source: 'main',
      call_ref: '9007199254740993',
      campaign_ref: '12',
      extension: null,
      end_reason: 'busy',
      packet: one.data,
      notification_id: 'main/l/9/1',
      dialed_at: new Date(DIALED * 1000),
    },
  ])
})

test('a CDR with the same key and other content replaces the row only if it was received later', async () => {
  const { handler, rows } = await useCdrFunction()
  const run = (notification: Notification, messageId: string) =>
    handler(sqsEvent(sqsRecord([notification], { messageId })))
  await run(cdr('1', 5, { end_reason: 'hungup' }), 'a')
  await run(cdr('1', 2, { end_reason: 'busy' }), 'b')
  expect(await rows()).toMatchObject([{ end_reason: 'hungup' }])
  await run(cdr('1', 9, { end_reason: 'voicemail' }), 'c')
  expect(await rows()).toMatchObject([{ end_reason: 'voicemail' }])
})

test('while Postgres is down the read model has the CDRs, and their rows are written once it is back', async () => {
  const { store, handler, rows } = await useCdrFunction()
  postgres.stop()
  const record = (receiveCount: number) =>
    sqsEvent(sqsRecord([cdr('1', 1), cdr('2', 2)], { messageId: 'a', receiveCount }))
  expect((await handler(record(1))).batchItemFailures).toEqual([{ itemIdentifier: 'a' }])
  expect((await store.read.cdrs()).items.map(({ call_ref }) => String(call_ref)).toSorted()).toEqual(['1', '2'])
  expect(await rows()).toEqual([])
  await postgres.start()
  expect((await handler(record(2))).batchItemFailures).toEqual([])
  expect((await rows()).map((row) => row['call_ref'])).toEqual(['1', '2'])
})

test('a call that was tried under two numbers has a row for each, also in the same second', async () => {
  const { handler, rows } = await useCdrFunction()
  const tries = [cdr('7', 1), cdr('7', 2, { number: '27829999999' }), cdr('7', 3, { number: null })]
  expect((await handler(sqsEvent(sqsRecord(tries, { messageId: 'a' })))).batchItemFailures).toEqual([])
  expect(new Set((await rows()).map(({ number }) => number))).toEqual(new Set(['', '27821234567', '27829999999']))
})
