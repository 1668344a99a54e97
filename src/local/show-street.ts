import { Console } from 'node:console'
import { Writable } from 'node:stream'
import { createLog, createShutdown, LOG_LEVELS, sleep } from '../runtime/index.ts'
import type { Part } from './street/parts.ts'
import { startStreet, type StreetOptions } from './street/street.ts'
import { formatHandled, toLines } from './view/lines.ts'
import { createLiveView, createPlainView } from './view/views.ts'

export type ShowStreetOptions = Pick<StreetOptions, 'folder' | 'callCentre' | 'bundles' | 'edge' | 'faults'> & {
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
  const parts: Part[] = []
  if (options.bundles === true) view.line('packaging the functions …')
  try {
    const street = await startStreet({
      ...options,
      env,
      log: createLog(level, toLines(view.line)),
      onPart: (part) => void parts.push(part),
      ...(isVerbose ? { onHandled: (handled) => view.line(formatHandled(handled, new Date())) } : {}),
    })
    const note = hasToken ? 'asks for the token in API_TOKEN' : 'the code works once, for ten minutes'
    for (const part of [{ name: 'console', address: street.consoleUrl, note }, ...parts]) view.part(part)
    view.line(
      `\ntry: curl -H 'Authorization: Bearer ${hasToken ? '$API_TOKEN' : street.api.token}' ${street.api.url}/agents`,
    )
    if (isDemo) for (const line of DEMO) view.line(line)
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
const DEMO = [
  '  1. A fifth of the CDRs fails for a minute. Open the console, then Parked, to see why.',
  '  2. After that minute, select the group there and press Replay.',
  '  3. Under Replays, see each of them handled. Parked no longer lists them.',
] as const

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
