import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { createProducer } from '../../src/producer/index.ts'
import { useFolder, waitFor } from '../support/relay.ts'
import { useReservedPort } from '../support/reserved-port.ts'

const LIST = 'enigma:notifications:campaigns'

/** What every file handle of Node has, to be watched. */
async function fileHandles(folder: string): Promise<{ sync: () => Promise<void>; datasync: () => Promise<void> }> {
  const handle = await open(join(folder, 'any'), 'w')
  await handle.close()
  return Object.getPrototypeOf(handle) as { sync: () => Promise<void>; datasync: () => Promise<void> }
}

// No kill of a process tells whether a disk has what it was given; that it was asked to keep it does.
test("push resolves when the disk has the packet and its file's name, and not before; packets that wait meanwhile share the next sync", async () => {
  const [folder, handles] = [await useFolder(), await fileHandles(await useFolder())]
  const asked: string[] = []
  const gates: PromiseWithResolvers<void>[] = []
  const { sync, datasync } = handles
  const synced = vi.spyOn(handles, 'sync').mockImplementation(async function (this: unknown) {
    asked.push('name')
    await sync.call(this)
  })
  const datasynced = vi.spyOn(handles, 'datasync').mockImplementation(async function (this: unknown) {
    asked.push('packets')
    const gate = Promise.withResolvers<void>()
    gates.push(gate)
    await gate.promise
    await datasync.call(this)
  })
  onTestFinished(() => [synced, datasynced].forEach((spy) => spy.mockRestore()))
  // Nothing listens there.
  const producer = createProducer({
    url: `redis://127.0.0.1:${await useReservedPort()}`,
    timeoutMs: 500,
    backup: { folder },
  })
  const done: string[] = []
  const push = (packet: string) => producer.push(LIST, packet).then(() => void done.push(packet))
  const first = push('first')
  await waitFor(() => gates.length === 1, 'the first sync to be asked for')
  expect([asked, done]).toEqual([['name', 'packets'], []])
  const rest = ['second', 'third'].map(push)
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect([gates.length, done]).toEqual([1, []])
  gates[0]?.resolve()
  await first
  await waitFor(() => gates.length === 2, 'the second sync to be asked for')
  expect(done).toEqual(['first'])
  gates[1]?.resolve()
  await Promise.all(rest)
  expect([gates.length, done]).toEqual([2, ['first', 'second', 'third']])
  await producer.close()
})
