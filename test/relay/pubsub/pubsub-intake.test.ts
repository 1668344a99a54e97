import { copyFile, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { formatPacket, type Route } from '../../../src/protocol/index.ts'
import { sleep } from '../../../src/runtime/index.ts'
import { RelayError } from '../../../src/relay/relay-error.ts'
import { openJournal } from '../../../src/relay/journal/journal.ts'
import type { JournalEntry, Lost } from '../../../src/relay/journal/journal-entry.ts'
import { createPubsubIntake } from '../../../src/relay/pubsub/pubsub-intake.ts'
import { formatNotice, noticeChannel, stampNotice } from '../../../src/relay/notice.ts'
import type { Sender } from '../../../src/relay/sender/sender.ts'

import { createMetrics } from '../../../src/relay/metrics.ts'
import { numberOf, readAccepted } from '../../support/accepted.ts'
import { captureLog } from '../../support/log.ts'
import { useFolder, waitFor } from '../../support/relay.ts'
import { startSender } from '../../support/sender.ts'
import { useSqsFaults } from '../../support/sqs-faults.ts'
import { routeOf, ROUTES, stamp } from '../../support/routes.ts'

const [STATUS, GAP] = [ROUTES.find('agents', 'status'), ROUTES.find('relay', 'gap')] as [Route, Route]
const MEMORY_BYTES = 20_000
const COUNT = 200

/** The `n`th status of one agent, and what the journal keeps of it. */
function statusAt(n: number, agent = 1) {
  const packet = Buffer.from(formatPacket({ type: 'status', payload: { status: 'busy', n } }))
  const origin = { sourceId: 'main', channel: `enigma:notifications:agents:${agent}`, number: 1, index: n, timeMs: n }
  return [stamp(packet, { ...origin, transport: 'pubsub' }), { ...origin, route: STATUS.name, packet }] as const
}

type IntakeOptions = Parameters<typeof createPubsubIntake>[0]

/** An intake with its own journal. Its senders send nothing, as in an SQS outage, unless the test passes other senders. */
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
  const disk = { isFull: false, isUnreadable: false, writes: 0 }
  const write: typeof journal.write = (batch) => {
    if (disk.isFull) throw new RelayError('relay.journal.unusable', 'database or disk is full')
    journal.write(batch)
    disk.writes++
  }
  const read: typeof journal.read = (...where) => {
    if (disk.isUnreadable) throw new RelayError('relay.journal.unusable', 'disk I/O error')
    return journal.read(...where)
  }
  let number = 1_000
  const announced: Lost[] = []
  const gaps: string[] = []
  const intake = createPubsubIntake({
    journal: { ...journal, write, read },
    senders,
    log,
    metrics,
    now: Date.now,
    stamp,
    routeBytes: Number.MAX_SAFE_INTEGER,
    memoryBytes: Number.MAX_SAFE_INTEGER,
    journalBytes: Number.MAX_SAFE_INTEGER,
    onGap: (sourceId) => void gaps.push(sourceId),
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
  /** Writes rows directly into the journal, as if an earlier process had left them. */
  const leave = (...entries: JournalEntry[]) =>
    journal.write({ rows: entries.map((entry) => ({ row: journal.nextRow(entry.route), entry })) })
  return { intake, journal, leave, senders, metrics, disk, announced, gaps, folder }
}

/** Copies the files of the journal as SIGKILL would leave them now. */
async function killedCopyOf(folder: string): Promise<string> {
  const copy = await useFolder()
  for (const name of await readdir(folder))
    if (!name.endsWith('.lock')) await copyFile(join(folder, name), join(copy, name))
  return copy
}

test('while the journal cannot be written and memory is full, the newest notifications are discarded, counted and announced as a gap, whose notice is kept', async () => {
  const { intake, senders, metrics, disk, announced, gaps } = await useIntake({ memoryBytes: MEMORY_BYTES })
  disk.isFull = true
  for (let n = 0; n < COUNT; n++) intake.hear(...statusAt(n))
  await intake.written()
  const [statuses, notices] = [STATUS, GAP].map((route) => senders.get(route)?.held ?? 0)
  expect(senders.get(STATUS)?.bytes ?? 0).toBeLessThan(MEMORY_BYTES + 2_000)
  expect([(statuses ?? 0) > 10, notices, gaps]).toEqual([true, 0, []])
  intake.announceLost()
  // States from before it are read again.
  expect(gaps).toEqual(['main'])
  const lost = { sourceId: 'main', route: STATUS.name, cause: 'journal_full', fromMs: statuses, toMs: COUNT - 1 }
  expect(announced.at(-1)).toEqual({ ...lost, lost: COUNT - (statuses ?? 0) })
  expect((await metrics.discarded.get()).values).toMatchObject([
    { labels: { route: STATUS.name, reason: 'memory_full' }, value: COUNT - (statuses ?? 0) },
  ])
  expect(senders.get(GAP)?.held).toBe(1)
  expect(intake.brokenSince).toBeDefined()
  intake.announceLost()
  expect(senders.get(GAP)?.held).toBe(1)
})

test('G2: losses that were not announced when the process was killed are announced once by the next start', async () => {
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
  // One transaction wrote the notice to the journal and emptied the ledger.
  const third = await useIntake({ dataDir: await killedCopyOf(killed) })
  third.intake.adopt()
  expect([third.announced.length, third.senders.get(GAP)?.held]).toEqual([0, 1])
})

test('G2: notifications discarded while the disk is full enter the ledger at the first write, and closing the intake announces all losses', async () => {
  const { intake, journal, senders, metrics, disk, folder, announced } = await useIntake({ memoryBytes: MEMORY_BYTES })
  disk.isFull = true
  for (let n = 0; n < COUNT; n++) intake.hear(...statusAt(n))
  await intake.written()
  const inMemory = senders.get(STATUS)?.held ?? 0
  disk.isFull = false
  await writeAgain({ intake, disk })
  await intake.written()
  const lost = journal.lost()[0]?.lost
  expect(lost).toBe(COUNT - inMemory)
  expect((await metrics.discarded.get()).values).toMatchObject([{ labels: { reason: 'memory_full' }, value: lost }])
  const killed = await useIntake({ dataDir: await killedCopyOf(folder) })
  killed.intake.adopt()
  expect(killed.announced).toMatchObject([{ cause: 'journal_full', lost }])
  // Notifications that are in memory only are lost with the process, too.
  intake.close()
  expect(announced).toMatchObject([{ cause: 'journal_full', lost: COUNT, fromMs: 0, toMs: COUNT - 1 }])
  const next = await useIntake({ dataDir: await killedCopyOf(folder) })
  next.intake.adopt()
  expect([next.announced.length, next.senders.get(GAP)?.held]).toEqual([0, 1])
})

test('G2: rows lost to damage that is found at run time are announced without a restart', async () => {
  const server = await useSqsFaults()
  const held = Promise.withResolvers<'accept'>()
  server.state.answer = () => held.promise
  const { log } = captureLog()
  const onRoom = () => intake.refill()
  const senderOf = (route: Route) => startSender(server.sqs, { route, log, onRoom })
  const senders = new Map([STATUS, GAP].map((route) => [route, senderOf(route)]))
  onTestFinished(() => Promise.all([...senders.values()].map((sender) => sender.stop(0))).then(() => undefined))
  const { intake, leave, folder, announced } = await useIntake({ senders, routeBytes: 40_000 })
  const packet = Buffer.from(formatPacket({ type: 'status', payload: { filler: 'x'.repeat(2_000) } }))
  leave(...Array.from({ length: 4_000 }, (_, n) => ({ ...statusAt(n)[1], packet })))
  intake.adopt()
  expect(intake.backlogs).toEqual([STATUS])
  const file = await open(join(folder, 'journal-test.db'), 'r+')
  await file.write(Buffer.alloc(200_000, 0xab), 0, 200_000, 1_500 * 4_096)
  await file.close()
  held.resolve('accept')
  await waitFor(() => announced.length > 0, 'it to be announced')
  expect(announced).toMatchObject([{ sourceId: 'main', route: '', cause: 'journal_damaged' }])
  await waitFor(() => intake.backlogs.length === 0 && senders.get(STATUS)?.held === 0, 'the rest to be sent')
  await waitFor(async () => (await readAccepted(server, 'enigma-relay-gap.fifo')).length === 1, 'the gap to arrive')
  const arrived = (await readAccepted(server, 'enigma-agents-status.fifo')).length
  expect(announced[0]?.lost).toBe(4_000 - arrived)
})

test('packets of any size are read back by their bytes: memory holds no more than the bound of a route and one packet', async () => {
  const [count, size, routeBytes] = [40, 300_000, 2_000_000]
  const { leave, intake, senders } = await useIntake({ routeBytes })
  const packet = Buffer.from(formatPacket({ type: 'status', payload: { status: 'busy', filler: 'x'.repeat(size) } }))
  leave(...Array.from({ length: count }, (_, n) => ({ ...statusAt(n)[1], packet })))
  expect(intake.adopt()).toBe(count)
  expect(senders.get(STATUS)?.bytes).toBeGreaterThan(routeBytes / 2)
  expect(senders.get(STATUS)?.bytes).toBeLessThan(routeBytes / 2 + 2 * size)
  expect(intake.backlogs).toEqual([STATUS])
})

/** An intake with a sender of statuses. SQS answers its requests when the test lets it. */
async function useStreet(own: Partial<IntakeOptions> = {}, routes: readonly Route[] = [STATUS]) {
  const server = await useSqsFaults()
  let held = Promise.withResolvers<'accept'>()
  server.state.answer = () => held.promise
  const onRoom = () => street.intake.refill()
  const senders = new Map(routes.map((route) => [route, startSender(server.sqs, { route, onRoom })]))
  const street = await useIntake({ senders, routeBytes: 2_000, memoryBytes: 1e6, ...own })
  const stop = () => Promise.all([...senders.values()].map((sender) => sender.stop(0)))
  onTestFinished(() => stop().then(() => undefined))
  return {
    ...street,
    server,
    stop,
    accept: () => held.resolve('accept'),
    hold: () => (held = Promise.withResolvers()),
    sent: () =>
      waitFor(
        () => street.intake.backlogs.length === 0 && [...senders.values()].every((sender) => sender.held === 0),
        'all to be sent',
      ),
    /** The numbers of the statuses that SQS has accepted. */
    arrived: async (route = STATUS) => (await readAccepted(server, `enigma-${route.name}.fifo`)).map(numberOf),
  }
}

test('rows that an older version stored under another route count against the memory limit of their present route', async () => {
  const { leave, intake, senders } = await useIntake({ routeBytes: 20_000 })
  leave(...Array.from({ length: 2_000 }, (_, n) => ({ ...statusAt(n)[1], route: 'other' })))
  intake.adopt()
  const { bytes = 0 } = senders.get(STATUS) ?? {}
  expect(bytes).toBeGreaterThan(10_000)
  for (let call = 0; call < 10; call++) intake.refill()
  expect(senders.get(STATUS)?.bytes).toBe(bytes)
  expect(bytes).toBeLessThan(100_000)
})

test('G3: notifications received while the journal cannot be written are sent after the journal rows of their route, and none is lost', async () => {
  const { intake, disk, accept, sent, arrived } = await useStreet()
  for (let n = 0; n < 100; n++) intake.hear(...statusAt(n))
  await intake.written()
  expect(intake.backlogs).toEqual([STATUS])
  disk.isFull = true
  for (let n = 100; n < 150; n++) intake.hear(...statusAt(n))
  await intake.written()
  expect(intake.brokenSince).toBeDefined()
  accept()
  await sent()
  expect(await arrived()).toEqual(Array.from({ length: 150 }, (_, n) => n))
})

/** Makes the intake write, as heartbeats do, until the journal is written again. */
async function writeAgain({ intake, disk }: Pick<Awaited<ReturnType<typeof useIntake>>, 'intake' | 'disk'>) {
  const { writes } = disk
  await waitFor(() => {
    intake.note('main', 1)
    return disk.writes > writes
  }, 'the journal to be written again')
}

const STEP = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 40 }) },
  fc.constantFrom('full', 'room', 'unreadable', 'readable', 'accept', 'hold', 'pause'),
)

test(
  'G3: however the disk and SQS fail and recover, every notification arrives once and in order, and leaves the journal',
  { timeout: 60_000 },
  async () => {
    const run = async (steps: readonly (number | string)[]) => {
      const street = await useStreet()
      const { intake, journal, disk, accept, hold, sent, arrived, stop } = street
      let count = 0
      for (const step of [...steps, 'readable', 'room', 'accept']) {
        if (typeof step === 'number') {
          for (const end = count + step; count < end; count++) intake.hear(...statusAt(count))
          await intake.written()
        } else if (step === 'accept') accept()
        else if (step === 'hold') hold()
        else if (step === 'pause') await sleep(30)
        else if (step === 'full') disk.isFull = true
        else if (step === 'room') {
          disk.isFull = false
          await writeAgain(street)
        } else disk.isUnreadable = step === 'unreadable'
      }
      await sent()
      expect(await arrived()).toEqual(Array.from({ length: count }, (_, n) => n))
      await waitFor(() => journal.size().rows === 0, 'the journal to be empty')
      await stop()
    }
    // Notifications are in the journal only, then in memory only, and so on, before the first row is read back.
    await run([60, 'full', 10, 'room', 10, 'full', 10, 'room', 10])
    await fc.assert(fc.asyncProperty(fc.array(STEP, { minLength: 5, maxLength: 25 }), run), { numRuns: 15 })
  },
)

test('rows that SQS accepts out of order leave the journal, and no others do', async () => {
  const { intake, journal, server } = await useStreet({ routeBytes: 1e6 })
  server.state.answer = () => ({
    fail: ({ MessageBody }) =>
      /"subject":"[02]"/.test(MessageBody) ? { Code: 'InternalError', SenderFault: false } : undefined,
  })
  for (let n = 0; n < COUNT; n++) intake.hear(...statusAt(n, n % 5))
  await intake.written()
  const held = Array.from({ length: COUNT }, (_, n) => n).filter((n) => n % 5 === 0 || n % 5 === 2)
  await waitFor(() => journal.size().rows <= held.length, 'the others to leave')
  expect(journal.read(STATUS.name, 0, 1e9).map(({ entry }) => entry.index)).toEqual(held)
})

test('G2: accepted rows are deleted some milliseconds later or when the relay stops; a crash before that sends them again with the same ids', async () => {
  const { intake, journal, folder, accept, sent, arrived } = await useStreet({ routeBytes: 1e6 })
  for (let n = 0; n < COUNT; n++) intake.hear(...statusAt(n))
  await intake.written()
  accept()
  await sent()
  const killed = await useIntake({ dataDir: await killedCopyOf(folder) })
  const again = killed.intake.adopt()
  expect(journal.read(STATUS.name, 0, 1e9).length).toBeLessThanOrEqual(again)
  const left = killed.journal.read(STATUS.name, 0, 1e9).map(({ entry }) => entry.index)
  expect(left).toEqual((await arrived()).slice(COUNT - left.length))
  intake.close()
  expect(journal.size().rows).toBe(0)
})

test('G2: rows that another version stored under a different route go to their present route, and leave the journal once they are sent', async () => {
  const OTHER_ROUTE = routeOf('*', '*')
  const { intake, journal, leave, accept, sent, arrived } = await useStreet({}, [STATUS, OTHER_ROUTE])
  // A sub_type that a newer version knows, and one that an older version did not know.
  const packet = Buffer.from(formatPacket({ type: 'mood', payload: { n: 7 } }))
  leave({ ...statusAt(7)[1], route: 'agents-mood', packet }, { ...statusAt(8)[1], route: OTHER_ROUTE.name })
  expect(intake.adopt()).toBe(2)
  accept()
  await sent()
  expect([await arrived(OTHER_ROUTE), await arrived()]).toEqual([[7], [8]])
  await waitFor(() => journal.size().rows === 0, 'the journal to be empty')
})
