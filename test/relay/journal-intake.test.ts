import { expect, onTestFinished, test } from 'vitest'
import { findRoute, formatPacket, type Route } from '../../src/protocol/index.ts'
import { RelayError } from '../../src/relay/errors.ts'
import { createGivenUp, type GivenUp } from '../../src/relay/given-up.ts'
import { openJournal } from '../../src/relay/journal.ts'
import { createJournalIntake } from '../../src/relay/journal-intake.ts'
import { formatNotice, noticeChannel, stampNotice } from '../../src/relay/notice.ts'
import { createSender } from '../../src/relay/sender.ts'
import { stamp } from '../../src/relay/stamp.ts'
import { createMetrics } from '../../src/relay/metrics.ts'
import { readAccepted } from '../support/accepted.ts'
import { captureLog } from '../support/log.ts'
import { useFolder, waitFor } from '../support/relay.ts'
import { useSqsFaults } from '../support/sqs-faults.ts'

const [STATUS, GAP] = [findRoute('agents', 'status'), findRoute('relay', 'gap')] as [Route, Route]
const MEMORY_BYTES = 20_000
const COUNT = 200

/** The `n`th status of one agent, and what the journal keeps of it. */
function statusAt(n: number) {
  const packet = Buffer.from(formatPacket({ type: 'status', payload: { status: 'busy', n } }))
  const origin = { sourceId: 'main', channel: 'enigma:notifications:agents:1', number: 1, index: n, timeMs: n }
  return [stamp(packet, { ...origin, transport: 'pubsub' }), { ...origin, route: STATUS.name, packet }] as const
}

test('while the journal cannot be written and memory is full, the newest are given up, counted and announced; what tells of it is kept', async () => {
  const { sqs } = await useSqsFaults()
  const { log } = captureLog()
  const metrics = createMetrics()
  const journal = openJournal({ dataDir: await useFolder(), relayId: 'test', sourceIds: ['main'], log, now: Date.now })
  onTestFinished(() => journal.close())
  const ended = new AbortController()
  const announced: GivenUp[] = []
  const senders = new Map(
    [STATUS, GAP].map((route) => [
      route,
      createSender({ route, sqs, queuePrefix: 'enigma-', log, metrics, now: Date.now, onRoom: () => undefined }),
    ]),
  )
  // Nothing is sent, as in an outage.
  for (const sender of senders.values()) await sender.stop(0)
  const givenUp = createGivenUp({ log, metrics, announce: (lost) => void announced.push(lost), signal: ended.signal })
  const intake = createJournalIntake({
    // A disk without room.
    journal: {
      ...journal,
      write: () => {
        throw new RelayError('relay.journal.unusable', 'database or disk is full')
      },
    },
    senders,
    log,
    metrics,
    now: Date.now,
    routeBytes: Number.MAX_SAFE_INTEGER,
    memoryBytes: MEMORY_BYTES,
    journalBytes: Number.MAX_SAFE_INTEGER,
    givenUp,
    park: () => Promise.resolve(true),
  })
  for (let n = 0; n < COUNT; n++) intake.hear(...statusAt(n))
  await intake.written()
  const [statuses, gaps] = [STATUS, GAP].map((route) => senders.get(route)?.held ?? 0)
  // What waits for its row is there twice.
  expect(2 * (senders.get(STATUS)?.bytes ?? 0)).toBeLessThan(MEMORY_BYTES + 2_000)
  expect([(statuses ?? 0) > 10, gaps]).toEqual([true, 0])
  givenUp.flush()
  expect(announced).toEqual([
    { sourceId: 'main', route: STATUS.name, fromMs: statuses, toMs: COUNT - 1, lost: COUNT - (statuses ?? 0) },
  ])
  expect((await metrics.givenUp.get()).values).toMatchObject([
    { labels: { route: STATUS.name, reason: 'memory_full' }, value: COUNT - (statuses ?? 0) },
  ])

  const payload = {
    source: 'main',
    relay: 'test',
    from: new Date(0).toISOString(),
    to: new Date(1).toISOString(),
    cause: 'journal_full' as const,
    patterns: [],
  }
  const [notice, from] = [
    formatNotice({ subType: 'gap', payload }),
    { sourceId: 'main', number: 2, index: 0, timeMs: 1 },
  ]
  intake.hear(stampNotice(notice, from), { ...from, route: GAP.name, channel: noticeChannel('main'), packet: notice })
  await intake.written()
  expect(senders.get(GAP)?.held).toBe(1)
  expect(intake.brokenSince).toBeDefined()
})

test('G3: what is heard while the journal cannot be written waits for the rows of its route that are in the journal only, and none of it is lost', async () => {
  const server = await useSqsFaults()
  const { sqs, state } = server
  const { log } = captureLog()
  const metrics = createMetrics()
  const journal = openJournal({ dataDir: await useFolder(), relayId: 'test', sourceIds: ['main'], log, now: Date.now })
  onTestFinished(() => journal.close())
  const held = Promise.withResolvers<'accept'>()
  state.answer = () => held.promise
  let isFull = false
  const onRoom = () => intake.refill()
  const sender = createSender({ route: STATUS, sqs, queuePrefix: 'enigma-', log, metrics, now: Date.now, onRoom })
  onTestFinished(() => sender.stop(0))
  const givenUp = createGivenUp({ log, metrics, announce: () => undefined, signal: new AbortController().signal })
  const write: typeof journal.write = (...what) => {
    if (isFull) throw new RelayError('relay.journal.unusable', 'database or disk is full')
    return journal.write(...what)
  }
  const intake = createJournalIntake({
    journal: { ...journal, write },
    senders: new Map([[STATUS, sender]]),
    log,
    metrics,
    now: Date.now,
    routeBytes: 2_000,
    memoryBytes: 1e6,
    journalBytes: 1e9,
    givenUp,
    park: () => Promise.resolve(true),
  })
  for (let n = 0; n < 100; n++) intake.hear(...statusAt(n))
  await intake.written()
  expect(intake.behind).toEqual([STATUS])
  isFull = true
  for (let n = 100; n < 150; n++) intake.hear(...statusAt(n))
  await intake.written()
  expect(intake.brokenSince).toBeDefined()
  held.resolve('accept')
  await waitFor(() => sender.held === 0 && intake.behind.length === 0, 'all to be sent')
  const events = (await readAccepted(server, 'enigma-agents-status.fifo')).map(
    ({ data }) => (JSON.parse(String(data)) as { payload: { n: number } }).payload.n,
  )
  expect(events).toEqual(Array.from({ length: 150 }, (_, n) => n))
})
