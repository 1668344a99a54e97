import { Console } from 'node:console'
import { Writable } from 'node:stream'
import { createLog, createShutdown, LOG_LEVELS, sleep } from '../runtime/index.ts'
import { startStreet, type StreetOptions } from './street/street.ts'
import { formatHandled, toLines } from './view/lines.ts'
import { createLiveView } from './view/live-view.ts'
import { createPlainView } from './view/plain-view.ts'

export type ShowStreetOptions = Pick<StreetOptions, 'folder' | 'callCentre' | 'bundles' | 'faults'> & {
  readonly process: NodeJS.Process
  /** Whether each notification gets a line. */
  readonly isVerbose: boolean
  /** Whether to say how to send again what fails. */
  readonly isDemo: boolean
}

const SECOND_MS = 1_000

/** Runs the street and shows it until SIGINT, SIGTERM or the end of the terminal. @throws ConfigError, StreetError, RelayError */
export async function showStreet({ process, isVerbose, isDemo, ...options }: ShowStreetOptions): Promise<void> {
  const { stdout, env } = process
  const view = stdout.isTTY ? createLiveView(stdout) : createPlainView(stdout)
  const shutdown = createShutdown(process)
  const gone = new AbortController()
  // A closed terminal, or `| head`: nobody looks any more.
  process.once('SIGHUP', () => gone.abort())
  stdout.on('error', () => gone.abort())
  const signal = AbortSignal.any([shutdown.signal, gone.signal])
  showConsole(view.line)

  // Only what the user must know, unless told otherwise: the view says the rest.
  const level = LOG_LEVELS.find((one) => one === env['ENIGMA_LOG_LEVEL']) ?? 'warn'
  const hasToken = (env['API_TOKEN'] ?? '').trim() !== ''
  try {
    const street = await startStreet({
      ...options,
      env,
      log: createLog(level, toLines(view.line)),
      onPart: view.part,
      ...(isVerbose ? { onHandled: (handled) => view.line(formatHandled(handled, new Date())) } : {}),
    })
    const curl = (path: string, more = '') =>
      `curl -H 'Authorization: Bearer ${hasToken ? '$API_TOKEN' : street.api.token}'${more} ${street.api.url}${path}`
    view.line(`\ntry: ${curl('/agents')}`)
    if (isDemo) for (const line of toDemo(curl)) view.line(line)
    const failed = street.ended.catch(() => gone.abort())
    while (!signal.aborted) {
      await sleep(SECOND_MS - (Date.now() % SECOND_MS), signal)
      if (!signal.aborted) view.figures(await street.readFigures())
    }
    view.line('stopping …')
    await street.stop()
    await failed
  } finally {
    view.close()
    shutdown.dispose()
  }
}

/** What to try while a fifth of the CDRs fails for a minute. */
const toDemo = (curl: (path: string, more?: string) => string): readonly string[] => [
  `  1. A fifth of the CDRs fails for a minute. See why:   ${curl('/parked/groups')}`,
  `  2. After that minute, send all of them again:         ${curl('/replays', ` -H 'content-type: application/json' -d '{"filter":{}}'`)}`,
  `  3. See them handled, and gone from the list:          ${curl('/replays')}`,
]

/** What functions print goes through the view, since on a terminal its block is written over. */
function showConsole(show: (line: string) => void): void {
  const stream = new Writable({
    decodeStrings: false,
    write: (chunk: unknown, _encoding, done) => {
      show(String(chunk).replace(/\n$/, ''))
      done()
    },
  })
  globalThis.console = new Console(stream)
}
