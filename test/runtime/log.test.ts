import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { createChangeDetector } from '../../src/runtime/index.ts'
import { ROOT } from '../cli/run.ts'
import { useFolder, waitFor } from '../support/relay.ts'

test('a change detector reports a lasting reason once as new and once as over, and a different reason as new', () => {
  const change = createChangeDetector()
  const seen = [undefined, 'full', 'full', 'denied', 'full', undefined, undefined, 'full'].map((what) => change(what))
  expect(seen).toEqual([undefined, 'new', undefined, 'new', 'new', 'over', undefined, 'new'])
})

/** Runs a script with `log` and `once` (Node's) in a child process whose standard output is this file. */
function logTo(file: string, script: string) {
  const source = `import { createLog } from './src/runtime/index.ts'; import { once } from 'node:events'; const log = createLog('info'); ${script}`
  const output = openSync(file, 'a')
  // Files may have 64 KiB, until `prlimit` removes the limit.
  const child = spawn(
    'bash',
    ['-c', 'ulimit -S -f 64; exec "$0" "$@"', process.execPath, '--input-type=module-typescript', '-e', source],
    { cwd: ROOT, stdio: ['pipe', output, 'pipe'] },
  )
  closeSync(output)
  onTestFinished(() => void child.kill('SIGKILL'))
  return { child, exited: once(child, 'exit') as Promise<[number | null]> }
}

test('on a full disk, a process that logs runs on, and ends without its lines', async () => {
  const { exited } = logTo(
    '/dev/full',
    `log.info({ code: 'a.b.c' }, 'one'); await new Promise((done) => setTimeout(done, 200)); log.info({ code: 'a.b.c' }, 'two')`,
  )
  expect((await exited)[0]).toBe(0)
})

test('when there is space again, the log continues, and says how many lines it dropped', async () => {
  const file = join(await useFolder(), 'log')
  const { child, exited } = logTo(
    file,
    `for (let n = 0; n < 3_000; n++) log.info({ code: 'a.b.c', n }, 'x'.repeat(1_000))
     await once(process.stdin, 'data')
     log.info({ code: 'a.b.d' }, 'there is space')
     await once(process.stdin, 'end')`,
  )
  await waitFor(() => (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 60_000, 'a full file')
  await promisify(execFile)('prlimit', ['--pid', String(child.pid), '--fsize=unlimited'])
  child.stdin?.write('go')
  const lines = () =>
    readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { readonly code: string; readonly n?: number; readonly lines?: number })
  await waitFor(() => readFileSync(file, 'utf8').includes('relay.log.dropped'), 'the number of lines')
  child.stdin?.end()
  expect((await exited)[0]).toBe(0)
  const written = lines().filter(({ code }) => code === 'a.b.c')
  expect(written.map(({ n }) => n)).toEqual(written.map((_, n) => n))
  expect(lines().find(({ code }) => code === 'relay.log.dropped')?.lines).toBe(3_000 - written.length)
  expect(lines().some(({ code }) => code === 'a.b.d')).toBe(true)
})
