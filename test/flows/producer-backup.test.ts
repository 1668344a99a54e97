import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { startRedisServer } from '../../src/local/servers.ts'
import { CAMPAIGNS } from '../support/load.ts'
import { useProxy } from '../support/proxy.ts'
import { useRedisClient } from '../support/redis.ts'
import { useFolder, waitFor } from '../support/relay.ts'

const CDRS = 5_000
const SCRIPT = new URL('../support/produce.ts', import.meta.url).pathname

/** Starts a dialler's process and collects the numbers that it reports as safe. */
function startDialler(url: string, folder: string, from: number) {
  const child = spawn(
    process.execPath,
    ['--conditions=source', '--disable-warning=ExperimentalWarning', SCRIPT, url, folder, String(from), String(CDRS)],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  const exited = once(child, 'exit')
  onTestFinished(() => void child.kill('SIGKILL'))
  let text = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk))
  return {
    get safe() {
      return text
        .split('\n')
        .slice(0, -1)
        .filter((line) => /^\d+$/.test(line))
        .map(Number)
    },
    isDrained: () => text.includes('drained'),
    /** Throws if the process has ended by itself. */
    check: () => {
      if (child.exitCode !== null) throw new Error(`the dialler ended with ${child.exitCode}: ${errors}`)
    },
    exited: () =>
      exited.then(([code, signal]) => ({ code: code as number | null, signal: signal as string | null, errors })),
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}

test(
  'G1 at the dialler: 5,000 CDRs reported as safe reach Redis in order, despite two Redis outages and three SIGKILLs of the dialler',
  { timeout: 60_000 },
  async () => {
    const [dataDir, folder] = [await useFolder(), await useFolder()]
    const options = { dataDir, args: ['--appendfsync', 'always'] }
    let redis = await startRedisServer(options)
    onTestFinished(() => redis.stop())
    const proxy = await useProxy(redis.port)
    const url = `redis://127.0.0.1:${proxy.port}`
    const safe = new Set<number>()
    let from = 0
    const filesOf = async () => (await readdir(folder)).filter((name) => name.endsWith('.jsonl'))
    /** Kills the dialler and starts it again; it rewrites the CDRs that it had not reported as safe. */
    const killAndStart = async () => {
      await dialler.kill()
      for (const n of dialler.safe) safe.add(n)
      from = Math.max(-1, ...safe) + 1
      dialler = startDialler(url, folder, from)
    }
    const reached = (count: number) =>
      waitFor(
        () => {
          dialler.check()
          return safe.size + dialler.safe.length >= count
        },
        `${count} to be safe`,
        20_000,
      )

    let dialler = startDialler(url, folder, from)
    await reached(800)
    // First the server is killed under load.
    const exited = once(redis.process, 'exit')
    redis.process.kill('SIGKILL')
    await exited
    await reached(1_600)
    expect((await filesOf()).length).toBeGreaterThan(0)
    await killAndStart()
    await reached(2_200)
    redis = await startRedisServer(options)
    proxy.retarget(redis.port)
    const client = await useRedisClient(redis.url)
    // The dialler is killed again while it pushes its backup.
    await waitFor(async () => (await client.lLen(CAMPAIGNS)) > 1_000, 'the backup to be pushed', 20_000)
    await killAndStart()
    await reached(3_200)
    // Then the network fails while answers are on their way.
    proxy.state.holdAnswers = true
    await sleep(150)
    proxy.cut()
    proxy.state.refuse = true
    await reached(4_000)
    await killAndStart()
    await reached(4_400)
    Object.assign(proxy.state, { refuse: false, holdAnswers: false })
    await waitFor(() => dialler.isDrained(), 'all to be pushed', 20_000)
    expect(await dialler.exited()).toEqual({ code: 0, signal: null, errors: '' })
    for (const n of dialler.safe) safe.add(n)
    expect(safe.size).toBe(CDRS)

    const there = (await client.lRange(CAMPAIGNS, 0, -1))
      .toReversed()
      .map((packet) => (JSON.parse(packet) as { payload: { n: number } }).payload.n)
    const first = [...new Set(there)]
    expect([...safe].filter((n) => !new Set(there).has(n))).toEqual([])
    expect(first).toEqual(Array.from({ length: CDRS }, (_, n) => n))
    // Only CDRs that a killed process had in flight, and had not reported as safe, may be there twice.
    expect(there.length - first.length).toBeLessThanOrEqual(3 * 20)
    expect(await filesOf()).toEqual([])
  },
)
