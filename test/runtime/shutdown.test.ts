import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'

const SHUTDOWN = new URL('../../src/runtime/index.ts', import.meta.url).href

/** A process that prints `ready`, then the reason of the abort, and keeps running unless `afterwards` ends it. */
async function startProcess(afterwards: string) {
  const program = `
    const { createShutdown } = await import(${JSON.stringify(SHUTDOWN)})
    const shutdown = createShutdown(process)
    const living = setInterval(() => undefined, 1000)
    shutdown.signal.addEventListener('abort', () => { console.log(shutdown.signal.reason.message); ${afterwards} })
    console.log('ready')
  `
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  onTestFinished(() => void child.kill('SIGKILL'))
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const says = async (words: string) => {
    while (!output.includes(words)) await once(child.stdout, 'data')
  }
  await says('ready')
  return { child, says, exited: once(child, 'exit') }
}

test.each(['SIGINT', 'SIGTERM'] as const)(
  '%s aborts the signal with its name, and the process may end by itself with 0',
  async (name) => {
    const { child, says, exited } = await startProcess('shutdown.dispose(); clearInterval(living)')
    child.kill(name)
    await says(`received ${name}`)
    expect(await exited).toEqual([0, null])
  },
)

test('a second signal ends the process at once with 130', async () => {
  const { child, says, exited } = await startProcess('')
  child.kill('SIGTERM')
  await says('received SIGTERM')
  child.kill('SIGINT')
  expect(await exited).toEqual([130, null])
})

test('the same signal again within a second is the same key press, passed on by npm or a launcher', async () => {
  const { child, says, exited } = await startProcess(
    'setTimeout(() => { shutdown.dispose(); clearInterval(living) }, 300)',
  )
  child.kill('SIGINT')
  await says('received SIGINT')
  child.kill('SIGINT')
  expect(await exited).toEqual([0, null])
})

test('after dispose a signal ends the process as if nothing had listened', async () => {
  const { child, says, exited } = await startProcess('shutdown.dispose(); console.log("disposed")')
  child.kill('SIGTERM')
  await says('disposed')
  child.kill('SIGTERM')
  expect(await exited).toEqual([null, 'SIGTERM'])
})
