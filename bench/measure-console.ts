import { setPriority } from 'node:os'
import type { CDPSession, Page } from 'playwright-core'
import { sleep, type Release } from '../src/runtime/index.ts'
import { launchBrowser } from '../test/support/launch-browser.ts'
import { startCallCentre } from './call-centre.ts'
import { createTape } from './tape.ts'

/** The load that the console causes in a browser that shows a call centre. */
export type ConsoleFigures = {
  readonly agents: number
  readonly pages: readonly PageFigures[]
}

export type PageFigures = {
  readonly page: 'wall' | 'stream'
  readonly seconds: number
  /** Notifications that functions handled per second. Each is a change. */
  readonly changesPerSecond: number
  /** The number of main-thread tasks of 50 ms or more, and the longest (ms). 0 if there was none. */
  readonly longTasks: number
  readonly longestMs: number
  /** The maximum CPU time (ms) of a task in the next `TRACED_MS`. The tasks above may also have waited for a processor. */
  readonly longestCpuMs: number
  /** JavaScript heap (MB) after a garbage collection: at the beginning, in the middle, at the end. */
  readonly heapMb: readonly [number, number, number]
  /** Elements in the document at the end. */
  readonly elements: number
}

/** At this speed, 2,000 agents cause 266 changes per second: a few more than the simulator's own pace. */
const SPEED = 1.2

/** The time in which agents log in. */
const WARM_UP_MS = 60_000

/** The time in which a page loads everything that it loads only once. */
const SETTLE_MS = 5_000

/** The duration of the trace: the events of a minute are about 50 MB. */
const TRACED_MS = 30_000

/** How long the page Stream is watched, as a share of the time of the page Wall. */
const STREAM_SHARE = 0.2

/** Collects the long tasks that the browser reports: those of 50 ms or more. Source: https://w3c.github.io/longtasks/ */
const OBSERVE = `globalThis.longTasks = []
new PerformanceObserver((list) => longTasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: 'longtask' })`

/**
 * Simulates a call centre on a whole street, records what its API tells a console, and stops it. Then a browser shows the recording. A
 * user's browser has its own machine. Beside the street, each task of this browser would wait for a processor.
 */
export async function measureConsole(
  release: Release,
  signal: AbortSignal,
  { agents, minutes }: { readonly agents: number; readonly minutes: number },
): Promise<ConsoleFigures> {
  const { tape, path, changesPerSecond } = await recordStreet(release, signal, { agents, minutes })
  tape.play()
  const browser = await withPriority(launchBrowser)
  release(() => browser.close())
  const page = await browser.newPage({ viewport: { width: 1_920, height: 1_080 } })
  await page.addInitScript(OBSERVE)
  await page.goto(tape.url + path)
  await page.locator('.tile').first().waitFor({ timeout: 60_000 })
  const session = await page.context().newCDPSession(page)
  await session.send('Performance.enable')
  await sleep(SETTLE_MS, signal)

  const watch = async (name: PageFigures['page'], seconds: number): Promise<PageFigures> => {
    const heapMb = [await readHeapMb(session)]
    await page.evaluate('longTasks.length = 0')
    await use(page, name, (seconds * 1_000) / 2, signal)
    const half = await readTasks(page)
    heapMb.push(await readHeapMb(session))
    // The garbage collection that the bench requested does not count as a task of the page.
    await page.evaluate('longTasks.length = 0')
    await use(page, name, (seconds * 1_000) / 2, signal)
    const tasks = [...half, ...(await readTasks(page))]
    heapMb.push(await readHeapMb(session))
    return {
      page: name,
      seconds,
      changesPerSecond,
      longTasks: tasks.length,
      longestMs: Math.max(0, ...tasks),
      longestCpuMs: await traceLongest(session, () => use(page, name, TRACED_MS, signal)),
      heapMb: heapMb as unknown as PageFigures['heapMb'],
      elements: await page.evaluate<number>('document.querySelectorAll("*").length'),
    }
  }
  const wall = await watch('wall', minutes * 60)
  tape.play()
  await page.getByRole('link', { name: 'Stream', exact: true }).click()
  await page.locator('.rows tbody tr').first().waitFor()
  await sleep(SETTLE_MS, signal)
  const stream = await watch('stream', Math.ceil(minutes * 60 * STREAM_SHARE))
  return { agents, pages: [wall, stream] }
}

/** Records the call centre for as long as the page Wall is watched. Resolves when the street has stopped. `path` opens the console. */
async function recordStreet(
  release: Release,
  signal: AbortSignal,
  { agents, minutes }: { readonly agents: number; readonly minutes: number },
) {
  const street = await startCallCentre(release, agents, SPEED)
  const { origin, pathname, hash } = new URL(street.consoleUrl)
  const tape = await createTape(origin)
  release(() => tape.close())
  const path = pathname + hash
  const browser = await launchBrowser()
  try {
    const page = await browser.newPage()
    await page.goto(tape.url + path)
    await page.locator('.tile').first().waitFor({ timeout: 60_000 })
    await page.getByRole('link', { name: 'Stream', exact: true }).click()
    await sleep(SETTLE_MS, signal)
  } finally {
    await browser.close()
  }
  await sleep(Math.min(WARM_UP_MS, minutes * 60_000), signal)
  const readHandled = async () => (await street.readFigures()).routes.reduce((sum, { handled }) => sum + handled, 0)
  const recordedMs = minutes * 60_000 + TRACED_MS + 2 * SETTLE_MS
  const handled = await readHandled()
  await tape.record(recordedMs, signal)
  const changesPerSecond = ((await readHandled()) - handled) / (recordedMs / 1_000)
  await street.stop()
  return { tape, path, changesPerSecond }
}

/** Launches a browser, with priority if permitted, because the tape and this process also need a processor for short times. */
async function withPriority<T>(launch: () => Promise<T>): Promise<T> {
  try {
    setPriority(-20)
  } catch {
    return launch()
  }
  try {
    return await launch()
  } finally {
    setPriority(0)
  }
}

/** Acts like a user who watches the page: scrolls up and down, and changes the order of the tiles. */
async function use(page: Page, name: PageFigures['page'], forMs: number, signal: AbortSignal): Promise<void> {
  const endMs = performance.now() + forMs
  for (let turn = 0; performance.now() < endMs && !signal.aborted; turn++) {
    await sleep(Math.min(5_000, Math.max(0, endMs - performance.now())), signal)
    await page.mouse.move(900, 800)
    if (name === 'wall') {
      await page.mouse.wheel(0, turn % 4 < 2 ? 1_500 : -1_500)
      if (turn % 6 === 5) await page.locator('[data-filter=sort]').selectOption(turn % 12 === 5 ? 'longest' : '')
    }
  }
  signal.throwIfAborted()
}

type TraceEvent = {
  readonly name: string
  readonly pid: number
  readonly tid: number
  readonly tdur?: number
  readonly args: { readonly name?: string }
}

/** Returns the maximum CPU time (ms) of a task of the page's main thread during `run`. */
async function traceLongest(session: CDPSession, run: () => Promise<void>): Promise<number> {
  const events: TraceEvent[] = []
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  const collect = ({ value }: { readonly value: unknown[] }) => void events.push(...(value as TraceEvent[]))
  session.on('Tracing.dataCollected', collect)
  session.once('Tracing.tracingComplete', () => resolve())
  await session.send('Tracing.start', { traceConfig: { includedCategories: ['toplevel'] } })
  await run()
  await session.send('Tracing.end')
  await ended
  session.off('Tracing.dataCollected', collect)
  const isMain = new Set(
    events.flatMap(({ name, args, pid, tid }) =>
      name === 'thread_name' && args.name === 'CrRendererMain' ? [`${pid} ${tid}`] : [],
    ),
  )
  return events.reduce(
    (most, { pid, tid, tdur = 0 }) => (isMain.has(`${pid} ${tid}`) ? Math.max(most, tdur / 1_000) : most),
    0,
  )
}

const readTasks = (page: Page): Promise<number[]> => page.evaluate<number[]>('longTasks')

async function readHeapMb(session: CDPSession): Promise<number> {
  await session.send('HeapProfiler.collectGarbage')
  const { metrics } = await session.send('Performance.getMetrics')
  return (metrics.find(({ name }) => name === 'JSHeapUsedSize')?.value ?? 0) / 1e6
}
