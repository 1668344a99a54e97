import { once } from 'node:events'
import { chmod, mkdir, open, readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { checkFolder, checkJournal, checkNode, judgeDisk } from '../../../src/relay/doctor/machine-checks.ts'
import { readConfig } from '../../../src/relay/index.ts'
import { openJournal } from '../../../src/relay/journal/journal.ts'
import { createLog } from '../../../src/runtime/index.ts'
import { useFolder } from '../../support/relay.ts'

const configOf = (dataDir: string) =>
  readConfig({ ENIGMA_DATA_DIR: dataDir, ENIGMA_RELAY_ID: 'test', AWS_REGION: 'none' })
const journalIn = (dataDir: string) =>
  openJournal({ dataDir, relayId: 'test', sourceIds: ['main'], log: createLog('silent'), now: Date.now })
const ENTRY = {
  route: 'agents-call',
  sourceId: 'main',
  channel: 'c',
  number: 1,
  index: 0,
  timeMs: 1,
  packet: Buffer.from('{}'),
}
const filesIn = async (folder: string) =>
  Promise.all((await readdir(folder)).map(async (file) => [file, await readFile(join(folder, file))]))

test('doctor counts the notifications in an open or closed journal, leaves the folder unchanged and deletes its copy', async () => {
  const [dataDir, copies] = [await useFolder(), await useFolder()]
  vi.stubEnv('TMPDIR', copies)
  onTestFinished(() => void vi.unstubAllEnvs())
  expect(await checkJournal(configOf(dataDir))).toMatchObject({ state: 'ok' })
  const journal = journalIn(dataDir)
  journal.write({
    rows: [
      { row: 1, entry: ENTRY },
      { row: 1, entry: { ...ENTRY, route: 'agents-status', index: 1 } },
    ],
  })
  const filesWhileOpen = await filesIn(dataDir)
  expect(await checkJournal(configOf(dataDir))).toMatchObject({
    state: 'ok',
    text: expect.stringMatching(/\b2 notifications\b/) as string,
  })
  expect(await filesIn(dataDir)).toEqual(filesWhileOpen)
  journal.close()
  const closed = await filesIn(dataDir)
  expect(await checkJournal(configOf(dataDir))).toMatchObject({
    state: 'ok',
    text: expect.stringMatching(/\b2 notifications\b/) as string,
  })
  expect(await filesIn(dataDir)).toEqual(closed)
  expect(await readdir(copies)).toEqual([])
})

test('a damaged journal is a warning, and doctor leaves it unchanged for the relay', async () => {
  const dataDir = await useFolder()
  const journal = journalIn(dataDir)
  journal.write({ rows: [{ row: 1, entry: { ...ENTRY, packet: Buffer.alloc(20_000, 'a') } }] })
  journal.close()
  const file = await open(join(dataDir, 'journal-test.db'), 'r+')
  await file.write(Buffer.alloc(8_192, 0x5a), 0, 8_192, 4_096)
  await file.close()
  const before = await filesIn(dataDir)
  expect(await checkJournal(configOf(dataDir))).toMatchObject({
    state: 'warn',
    code: 'doctor.journal.damaged',
    fix: expect.stringContaining('restart the relay') as string,
  })
  expect(await filesIn(dataDir)).toEqual(before)
})

test('a journal over 64 MiB is not checked', async () => {
  const dataDir = await useFolder()
  await writeFile(join(dataDir, 'journal-test.db'), 'no journal')
  await truncate(join(dataDir, 'journal-test.db'), 64 * 1024 * 1024 + 1)
  expect(await checkJournal(configOf(dataDir))).toMatchObject({
    state: 'ok',
    text: expect.stringContaining('64 MiB, too large') as string,
  })
})

test('an unreadable journal is not reported as damaged', async () => {
  const dataDir = await useFolder()
  // Root can read every file, but not even root can open a socket like a file.
  const path = join(dataDir, 'journal-test.db')
  const server = createServer().listen(path)
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  expect(await checkJournal(configOf(dataDir))).toMatchObject({
    code: 'doctor.journal.unreadable',
    fix: expect.stringContaining(path) as string,
  })
})

test('an existing or creatable data folder passes, a file or a read-only folder is reported, and doctor leaves nothing behind', async () => {
  const folder = await useFolder()
  expect(checkFolder(configOf(folder))).toMatchObject({ state: 'ok' })
  expect(checkFolder(configOf(join(folder, 'a/b')))).toMatchObject({ state: 'ok' })
  expect(await readdir(folder)).toEqual([])
  await writeFile(join(folder, 'file'), '')
  expect(checkFolder(configOf(join(folder, 'file')))).toMatchObject({ code: 'doctor.folder.not_a_folder' })
  const closed = join(folder, 'closed')
  await mkdir(closed)
  await chmod(closed, 0o500)
  onTestFinished(() => chmod(closed, 0o700))
  // Root can write to every folder except one in which nothing can be created.
  expect(checkFolder(configOf(process.getuid?.() === 0 ? '/proc/enigma' : closed))).toMatchObject({
    code: 'doctor.folder.not_writable',
    fix: expect.stringContaining('ENIGMA_DATA_DIR') as string,
  })
})

test.each([
  [200 * 1024 ** 3, undefined, '200 GiB'],
  [2 * 1024 ** 3, 'doctor.disk.small', '2 GiB'],
  [100 * 1024 ** 2, 'doctor.disk.full', '100 MiB'],
] as const)('%d bytes of free disk: %s', (free, code, size) => {
  const finding = judgeDisk(free, '/data')
  expect([finding.code, finding.text]).toEqual([code, expect.stringContaining(size)])
})

test('a Node.js version that is too old fails, and the fix names the version to install', () => {
  expect(checkNode('22.12.0')).toMatchObject({
    state: 'fail',
    code: 'doctor.node.too_old',
    fix: expect.stringContaining('install Node 24') as string,
  })
  expect(checkNode()).toMatchObject({ state: 'ok' })
})
