import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { holdDataDir } from '../../src/local/street/parts.ts'
import { useFolder } from '../support/relay.ts'

/** A process that would run for long. */
async function useChild() {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' })
  onTestFinished(() => void child.kill('SIGKILL'))
  await once(child, 'spawn')
  return { child, pid: child.pid as number, exited: once(child, 'exit') }
}

type Written = { pid: number; start: string; children: { pid: number; start: string }[] }

test('only one process can lock a folder, and the folder can be locked again after its release', async () => {
  const folder = await useFolder()
  const first = await holdDataDir(folder)
  await expect(holdDataDir(folder)).rejects.toMatchObject({
    code: 'dev.street.already_running',
    message: expect.stringMatching(new RegExp(`\\b${process.pid}\\b`)) as string,
  })
  await first.release()
  await (await holdDataDir(folder)).release()
})

test('the processes that a killed run left behind are ended before its folder is locked again', async () => {
  const folder = await useFolder()
  const { pid, exited } = await useChild()
  const killed = await holdDataDir(folder)
  await killed.noteChild(pid)
  // As if the lock belonged to another process, which has ended.
  const file = join(folder, 'dev.json')
  const written = JSON.parse(await readFile(file, 'utf8')) as Written
  const { pid: gone, exited: hasGone, child } = await useChild()
  child.kill('SIGKILL')
  await hasGone
  await writeFile(file, JSON.stringify({ ...written, pid: gone }))
  await holdDataDir(folder)
  expect(await exited).toEqual([null, 'SIGTERM'])
})

test('a process that only has the same id as one of a killed run is left alone', async () => {
  const folder = await useFolder()
  const { pid, child } = await useChild()
  const another = { pid, start: '1' }
  await writeFile(join(folder, 'dev.json'), JSON.stringify({ ...another, children: [another] } satisfies Written))
  await holdDataDir(folder)
  expect(child.exitCode ?? child.signalCode).toBeNull()
})

test('the record can be read at any moment, also while children are noted', async () => {
  const folder = await useFolder()
  const held = await holdDataDir(folder)
  const { pid } = await useChild()
  const state = { isNoting: true }
  const noting = Promise.all(Array.from({ length: 300 }, () => held.noteChild(pid))).finally(() => {
    state.isNoting = false
  })
  const counts: number[] = []
  while (state.isNoting)
    counts.push((JSON.parse(await readFile(join(folder, 'dev.json'), 'utf8')) as Written).children.length)
  await noting
  expect(counts.length).toBeGreaterThan(10)
  await held.release()
  expect(await readdir(folder)).toEqual([])
})

test('an incomplete record does not prevent the next lock', async () => {
  const folder = await useFolder()
  await writeFile(join(folder, 'dev.json'), '{"pid":')
  await (await holdDataDir(folder)).release()
})
