import { copyFile, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { findRoute, formatPacket, type Route } from '../../../src/protocol/index.ts'
import { RelayError } from '../../../src/relay/errors.ts'
import { createGivenUp } from '../../../src/relay/pubsub/given-up.ts'
import { openJournal, type Lost } from '../../../src/relay/journal/journal.ts'
import { createJournalIntake } from '../../../src/relay/pubsub/pubsub-intake.ts'
import { formatNotice, noticeChannel, stampNotice } from '../../../src/relay/notification/notice.ts'
import type { Sender } from '../../../src/relay/sender/sender.ts'
import { stamp } from '../../../src/relay/notification/stamp.ts'
import { createMetrics } from '../../../src/relay/metrics.ts'
import { readAccepted } from '../../support/accepted.ts'
import { captureLog } from '../../support/log.ts'
import { useFolder, waitFor } from '../../support/relay.ts'
import { startSender } from '../../support/sender.ts'
import { useSqsFaults } from '../../support/sqs-faults.ts'

const [STATUS, GAP] = [findRoute('agents', 'status'), findRoute('relay', 'gap')] as [Route, Route]
const MEMORY_BYTES = 20_000
const COUNT = 200

/** The `n`th status of one agent, and what the journal keeps of it. */
function statusAt(n: number) {
  const packet = Buffer.from(formatPacket({ type: 'status', payload: { status: 'busy', n } }))
  const origin = { sourceId: 'main', channel: 'enigma:notifications:agents:1', number: 1, index: n, timeMs: n }
  return [stamp(packet, { ...origin, transport: 'pubsub' }), { ...origin, route: STATUS.name, packet }] as const
}

type IntakeOptions = Parameters<typeof createJournalIntake>[0]

/** An intake on a journal of its own, into senders that send nothing, as in an outage of SQS, unless the test brings its own. */
async function useIntake({ dataDir, ...own }: Partial<IntakeOptions> & { readonly dataDir?: string } = {}) {
  const { log } = captureLog()
  const metrics = createMetrics()
  const folder = dataDir ?? (await useFolder())
  const journal = openJournal({ dataDir: folder, relayId: 'test', sourceIds: ['main'], log, now: Date.now })
  onTestFinished(() => journal.close())
  const senders = own.senders ?? new Map<Route, Sender>()
  if (own.senders === undefined) {
    const { sqs } = await useSqsFaults()
    for (const route of [STATUS, GAP]) {
      const sender = startSender(sqs, { route, log, metrics })
      await sender.stop(0)
      ;(senders as Map<Route, Sender>).set(route, sender)
    }
  }
  const disk = { isFull: false }
  const write: typeof journal.write = (...what) => {
    if (disk.isFull) throw new RelayError('relay.journal.unusable', 'database or disk is full')
    return journal.write(...what)
  }
  let number = 1_000
  const announced: Lost[] = []
  const ended = new AbortController()
  onTestFinished(() => ended.abort())
  const givenUp = createGivenUp({ log, metrics, onDue: () => undefined, signal: ended.signal })
  const intake = createJournalIntake({
    journal: { ...journal, write },
    senders,
    log,
    metrics,
    now: Date.now,
    routeBytes: Number.MAX_SAFE_INTEGER,
    memoryBytes: Number.MAX_SAFE_INTEGER,
    journalBytes: Number.MAX_SAFE_INTEGER,
    givenUp,
    toGap: (lost) => {
      announced.push(lost)
      const from = { sourceId: 'main', number: ++number, index: 0, timeMs: 1 }
      const payload = {
        source: 'main',
        relay: 'test',
        from: '',
        to: '',
        cause: lost.cause,
        lost: lost.lost,
        patterns: [],
      }
      const packet = formatNotice({ subType: 'gap', payload })
      const stamped = stampNotice(packet, from)
      return { stamped, entry: { ...from, route: GAP.name, channel: noticeChannel('main'), packet } }
    },
    park: () => Promise.resolve(true),
    ...own,
  })
  return { intake, journal, senders, metrics, disk, announced, givenUp, folder }
}

/** What SIGKILL would leave now: the files as they are. */
async function killedCopyOf(folder: string): Promise<string> {
  const copy = await useFolder()
  for (const name of await readdir(folder))
    if (!name.endsWith('.lock')) await copyFile(join(folder, name), join(copy, name))
  return copy
}

test('while the journal cannot be written and memory is full, the newest are given up, counted and announced; what tells of it is kept', async () => {
  const { intake, senders, metrics, disk, announced } = await useIntake({ memoryBytes: MEMORY_BYTES })
  disk.isFull = true
  for (let n = 0; n < COUNT; n++) intake.hear(...statusAt(n))
  await intake.written()
  const [statuses, gaps] = [STATUS, GAP].map((route) => senders.get(route)?.held ?? 0)
  // What waits for its row is there twice.
  expect(2 * (senders.get(STATUS)?.bytes ?? 0)).toBeLessThan(MEMORY_BYTES + 2_000)
  expect([(statuses ?? 0) > 10, gaps]).toEqual([true, 0])
  intake.announceLost()
  const lost = { sourceId: 'main', route: STATUS.name, cause: 'journal_full', fromMs: statuses, toMs: COUNT - 1 }
  expect(announced.at(-1)).toEqual({ ...lost, lost: COUNT - (statuses ?? 0) })
  expect((await metrics.givenUp.get()).values).toMatchObject([
    { labels: { route: STATUS.name, reason: 'memory_full' }, value: COUNT - (statuses ?? 0) },
  ])
  expect(senders.get(GAP)?.held).toBe(1)
  expect(intake.brokenSince).toBeDefined()
  intake.announceLost()
  expect(senders.get(GAP)?.held).toBe(1)
})

test('G2: what was given up and not announced when the process was killed is announced by the next start, once', async () => {
  const { intake, journal, folder } = await useIntake({ routeBytes: 1_000, journalBytes: 1 })
  for (let n = 0; n < COUNT; n++) intake.hear(...statusAt(n))
  await intake.written()
  const lost = journal.lost()[0]?.lost ?? 0
  expect(lost).toBeGreaterThan(COUNT / 2)
  const killed = await killedCopyOf(folder)
  const next = await useIntake({ dataDir: killed })
  expect(next.intake.adopt()).toBe(COUNT - lost)
  expect(next.announced).toMatchObject([{ route: STATUS.name, cause: 'journal_full', lost }])
  expect(next.senders.get(GAP)?.held).toBe(1)
  // The notice is in the journal, and the ledger is empty, from one transaction on.
  const third = await useIntake({ dataDir: await killedCopyOf(killed) })
  third.intake.adopt()
  expect([third.announced.length, third.senders.get(GAP)?.held]).toEqual([0, 1])
})

test('G2: what memory gave up while the disk was full is in the ledger from the first write on, and SIGTERM leaves nothing unannounced', async () => {
  const { intake, journal, metrics, disk, folder, announced } = await useIntake({ memoryBytes: MEMORY_BYTES })
  disk.isFull = true
  for (let n = 0; n < COUNT; n++) intake.hear(...statusAt(n))
  await intake.written()
  disk.isFull = false
  await waitFor(async () => {
    intake.hear(...statusAt(COUNT))
    await intake.written()
    return intake.brokenSince === undefined
  }, 'the journal to be written again')
  const lost = journal.lost()[0]?.lost
  expect((await metrics.givenUp.get()).values).toMatchObject([{ labels: { reason: 'memory_full' }, value: lost }])
  const killed = await useIntake({ dataDir: await killedCopyOf(folder) })
  killed.intake.adopt()
  expect(killed.announced).toMatchObject([{ cause: 'journal_full', lost }])
  intake.close()
  expect(announced).toMatchObject([{ cause: 'journal_full', lost }])
  const next = await useIntake({ dataDir: await killedCopyOf(folder) })
  next.intake.adopt()
  expect([next.announced.length, next.senders.get(GAP)?.held]).toEqual([0, 1])
})

test('G2: what a damage found while running has taken is announced while it runs', async () => {
  const server = await useSqsFaults()
  const held = Promise.withResolvers<'accept'>()
  server.state.answer = () => held.promise
  const { log } = captureLog()
  const onRoom = () => intake.refill()
  const senderOf = (route: Route) => startSender(server.sqs, { route, log, onRoom })
  const senders = new Map([STATUS, GAP].map((route) => [route, senderOf(route)]))
  onTestFinished(() => Promise.all([...senders.values()].map((sender) => sender.stop(0))).then(() => undefined))
  const { intake, journal, folder, announced } = await useIntake({ senders, routeBytes: 40_000 })
  const packet = Buffer.from(formatPacket({ type: 'status', payload: { filler: 'x'.repeat(2_000) } }))
  journal.write(
    Array.from({ length: 4_000 }, (_, n) => ({ ...statusAt(n)[1], packet })),
    [],
  )
  intake.adopt()
  expect(intake.behind).toEqual([STATUS])
  const file = await open(join(folder, 'journal-test.db'), 'r+')
  await file.write(Buffer.alloc(200_000, 0xab), 0, 200_000, 1_500 * 4_096)
  await file.close()
  held.resolve('accept')
  await waitFor(() => announced.length > 0, 'it to be announced')
  expect(announced).toMatchObject([{ sourceId: 'main', route: '', cause: 'journal_damaged' }])
  await waitFor(() => intake.behind.length === 0 && senders.get(STATUS)?.held === 0, 'the rest to be sent')
  await waitFor(async () => (await readAccepted(server, 'enigma-relay-gap.fifo')).length === 1, 'the gap to arrive')
  const arrived = (await readAccepted(server, 'enigma-agents-status.fifo')).length
  expect(announced[0]?.lost).toBe(4_000 - arrived)
})

test('packets of any size are read back by their bytes: memory holds no more than the bound of a route and one packet', async () => {
  const [count, size, routeBytes] = [40, 300_000, 2_000_000]
  const { journal, intake, senders } = await useIntake({ routeBytes })
  const packet = Buffer.from(formatPacket({ type: 'status', payload: { status: 'busy', filler: 'x'.repeat(size) } }))
  journal.write(
    Array.from({ length: count }, (_, n) => ({ ...statusAt(n)[1], packet })),
    [],
  )
  expect(intake.adopt()).toBe(count)
  expect(senders.get(STATUS)?.bytes).toBeGreaterThan(routeBytes / 2)
  expect(senders.get(STATUS)?.bytes).toBeLessThan(routeBytes / 2 + 2 * size)
  expect(intake.behind).toEqual([STATUS])
})

test('G3: what is heard while the journal cannot be written waits for the rows of its route that are in the journal only, and none of it is lost', async () => {
  const server = await useSqsFaults()
  const { sqs, state } = server
  const held = Promise.withResolvers<'accept'>()
  state.answer = () => held.promise
  const sender = startSender(sqs, { route: STATUS, onRoom: () => intake.refill() })
  onTestFinished(() => sender.stop(0))
  const { intake, disk } = await useIntake({
    senders: new Map([[STATUS, sender]]),
    routeBytes: 2_000,
    memoryBytes: 1e6,
  })
  for (let n = 0; n < 100; n++) intake.hear(...statusAt(n))
  await intake.written()
  expect(intake.behind).toEqual([STATUS])
  disk.isFull = true
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
