import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { createProducer } from '../../src/producer/index.ts'
import { useFolder, waitFor } from '../support/relay.ts'
import { useReservedPort } from '../support/reserved-port.ts'

const LIST = 'enigma:notifications:campaigns'

/** Returns the prototype of Node's file handles, so that a test can spy on it. */
async function fileHandles(folder: string): Promise<{ sync: () => Promise<void>; datasync: () => Promise<void> }> {
  const handle = await open(join(folder, 'any'), 'w')
  await handle.close()
  return Object.getPrototypeOf(handle) as { sync: () => Promise<void>; datasync: () => Promise<void> }
}

// Killing a process does not show whether data has reached the disk. A spy on sync does.
test('push resolves only after the packet and the name of its file are synced; packets that wait share the next sync', async () => {
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
