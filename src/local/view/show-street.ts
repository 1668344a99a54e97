import { createLogUpdate } from 'log-update'
import { Console } from 'node:console'
import { Writable } from 'node:stream'
import pc from 'picocolors'
import { RELAY_TYPE } from '../../protocol/index.ts'
import { createLog, createShutdown, LOG_LEVELS, sleep } from '../../runtime/index.ts'
import { hideCredentials } from '../servers.ts'
import type { Part } from '../street/parts.ts'
import type { Figures } from '../street/street-figures.ts'
import { startStreet, type StreetOptions } from '../street/street.ts'
import {
  createRates,
  formatHandled,
  formatPart,
  formatShort,
  formatMs,
  formatTime,
  createLogOutput,
  type Output,
  type Rates,
  type View,
} from './lines.ts'

export type ShowStreetOptions = Pick<StreetOptions, 'folder' | 'callCentre' | 'bundles' | 'edge' | 'faults'> & {
  readonly process: NodeJS.Process
  /** Whether each notification is printed. */
  readonly isVerbose: boolean
  /** Whether to print how to replay failed notifications. */
  readonly isDemo: boolean
}

const SECOND_MS = 1_000

/** Runs the street and shows it until SIGINT, SIGTERM or until the terminal is closed. @throws ConfigError, StreetError, RelayError */
export async function showStreet({ process, isVerbose, isDemo, ...options }: ShowStreetOptions): Promise<void> {
  const { stdout, env } = process
  const view = stdout.isTTY ? createLiveView(stdout) : createPlainView(stdout)
  const shutdown = createShutdown(process)
  const gone = new AbortController()
  // The terminal was closed, or a reader such as `head` ended.
  process.once('SIGHUP', () => gone.abort())
  stdout.on('error', () => gone.abort())
  const signal = AbortSignal.any([shutdown.signal, gone.signal])
  showConsole(view.line)

  // Log only warnings and errors by default, because the view shows the rest.
  const level = LOG_LEVELS.find((one) => one === env['ENIGMA_LOG_LEVEL']) ?? 'warn'
  const hasToken = (env['API_TOKEN'] ?? '').trim() !== ''
  const parts: Part[] = []
  if (options.bundles === true) view.line('packaging the functions …')
  try {
    const street = await startStreet({
      ...options,
      env,
      log: createLog(level, createLogOutput(view.line)),
      onPart: (part) => void parts.push(part),
      ...(isVerbose ? { onHandled: (handled) => view.line(formatHandled(handled, new Date())) } : {}),
    })
    const note = hasToken ? 'asks for the token in API_TOKEN' : 'the code works once, for ten minutes'
    for (const part of [{ name: 'console', address: street.consoleUrl, note }, ...parts]) view.part(part)
    // The ports may differ from those in the documentation.
    const { api, diallerUrl } = street
    const isQuiet = options.callCentre === undefined && diallerUrl !== undefined
    const publish = isQuiet ? `redis-cli -u ${hideCredentials(diallerUrl)} ${PUBLISH}\n     ` : ''
    const header = `-H "Authorization: Bearer ${hasToken ? '$API_TOKEN' : api.token}"`
    view.line(`\ntry: ${publish}curl ${header} ${api.url}/agents${isQuiet ? '/1002' : ''}`)
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

/** A status, as a dialler publishes it. */
const PUBLISH = `publish enigma:notifications:agents:1002 '{"type":"status","payload":{"ref":"1002","status":"available","campaign_ref":"12"}}'`

/** Instructions for `--demo`. */
const DEMO = [
  '  1. A fifth of the CDRs fails for a minute. Open the console, then Parked, to see why.',
  '  2. After that minute, click the cause there, then “Select all … that match”, then Replay, and confirm.',
  '  3. Under Replays, check that each of them is handled. Parked no longer lists them.',
] as const

/** Sends the output of functions through the view, which overwrites its block on a terminal. */
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

/** A column of the plain view: two rows of heading, its width, and its text. */
type Column = {
  readonly above: string
  readonly below: string
  readonly width: number
  readonly cell: (rates: Rates, figures: Figures, date: Date) => string
}

const TIME: Column = { above: '', below: 'time', width: 9, cell: (_rates, _figures, date) => formatTime(date) }
const BEHIND: readonly Column[] = [
  { above: 'relay ms', below: 'p50', width: 5, cell: ({ relayP50 }) => formatMs(relayP50) },
  { above: '', below: 'p99', width: 5, cell: ({ relayP99 }) => formatMs(relayP99) },
  { above: 'back', below: 'log', width: 5, cell: (_rates, { backlog }) => formatShort(backlog) },
  { above: 'par', below: 'ked', width: 4, cell: (_rates, { parked }) => formatShort(parked) },
  { above: 'gap', below: 's', width: 3, cell: (_rates, { gaps }) => formatShort(gaps) },
]

/** The minimum width of a route's column: `99/99` and a space. */
const MIN_WIDTH = 6

/** Returns a column for each route, except those of the relay's notices. The type is the heading of its first column. */
function columnsOf(names: readonly string[]): Column[] {
  const routes = names.map((name) => {
    const [type = name, ...rest] = name.split('-')
    return { name, type, subType: rest.join('-') }
  })
  const shown = routes.filter(({ type }) => type !== RELAY_TYPE)
  return shown.map(({ name, type, subType }, index) => {
    const isFirst = shown[index - 1]?.type !== type
    const below = subType.length < LONG_WORD ? subType : subType.slice(subType.lastIndexOf('_') + 1)
    // A type with several columns has room for its name.
    const above = isFirst && shown[index + 1]?.type !== type ? type.length + 1 : 0
    const width = Math.max(MIN_WIDTH, below.length + 1, above)
    return { above: isFirst ? type : '', below, width, cell: (rates) => inAndOut(rates, name) }
  })
}

/** A sub_type of at least this many characters is shortened to its last word: `preview`. */
const LONG_WORD = 10

/** Formats notifications in and out: one number if both are the same. */
function inAndOut(rates: Rates, name: string): string {
  const { received = 0, handled = 0 } = rates.routes.find((one) => one.name === name) ?? {}
  if (received === handled) return received === 0 ? '.' : formatShort(received)
  return `${formatShort(received)}/${formatShort(handled)}`
}

/** Formats a row, each text at the start of its column. A text that is too wide pushes the next ones to the right. */
function row(columns: readonly Column[], toText: (column: Column) => string): string {
  let line = ''
  let at = 0
  for (const column of columns) {
    const text = toText(column)
    if (text !== '') line = (line.length >= at && at > 0 ? `${line} ` : line.padEnd(at)) + text
    at += column.width
  }
  return line
}

/** The heading is printed again after this many lines. */
const LINES_PER_HEADING = 30

/** Creates a view for output that is not a terminal: one line per event, and one line per second. */
export function createPlainView(output: Output, now: () => Date = () => new Date()): View {
  const rate = createRates()
  const write = (text: string) => void output.write(`${text}\n`)
  let untilHeading = 0
  return {
    part: (part) => write(formatPart(part)),
    line: write,
    figures: (figures) => {
      const columns = [TIME, ...columnsOf(figures.routes.map(({ name }) => name)), ...BEHIND]
      if (untilHeading === 0) {
        write('\nnotifications per second by sub_type: in/out, or one number if both are the same')
        write(row(columns, ({ above }) => above))
        write(row(columns, ({ below }) => below))
        untilHeading = LINES_PER_HEADING
      }
      untilHeading--
      const rates = rate(figures)
      const date = now()
      write(row(columns, ({ cell }) => cell(rates, figures, date)))
    },
    close: () => undefined,
  }
}

const NAME_WIDTH = 26

const count = (n: number) => n.toLocaleString('en-US')
const cells = (values: readonly string[]) => values.map((value) => value.padStart(11)).join('')

/** Formats the block of figures that is overwritten each second. */
export function formatBlock(rates: Rates, figures: Figures, upMs: number): string {
  const totals = new Map(figures.routes.map((route) => [route.name, route]))
  const rows = rates.routes.map(({ name, received, handled }) => {
    const total = totals.get(name)
    const text =
      name.padEnd(NAME_WIDTH) + cells([received, handled, total?.received ?? 0, total?.handled ?? 0].map(count))
    return received + handled > 0 ? text : pc.dim(text)
  })
  const alarm = (n: number) => (n > 0 ? pc.yellow(count(n)) : count(n))
  const delays = `delay to the target ${formatMs(rates.relayP50)} / ${formatMs(rates.relayP99)} ms, to the read model ${formatMs(rates.handledP50)} / ${formatMs(rates.handledP99)} ms`
  return [
    '',
    pc.bold('notifications'.padEnd(NAME_WIDTH) + cells(['in/s', 'out/s', 'in', 'out'])),
    ...rows,
    `${delays} (p50 / p99)`,
    `backlog ${count(figures.backlog)}   parked ${alarm(figures.parked)}   gaps ${alarm(figures.gaps)}   up ${upTime(upMs)}   Ctrl-C ends it`,
  ].join('\n')
}

function upTime(ms: number): string {
  const seconds = Math.floor(ms / 1_000)
  return [seconds / 3_600, (seconds / 60) % 60, seconds % 60]
    .map((part) => String(Math.floor(part)).padStart(2, '0'))
    .join(':')
}

/** Creates a view for a terminal: lines scroll above a block with the figures. */
export function createLiveView(output: NodeJS.WriteStream, now: () => number = () => performance.now()): View {
  const update = createLogUpdate(output)
  const rate = createRates()
  const startMs = now()
  let block: string | undefined
  const stay = (text: string) => {
    update.persist(text)
    // The line replaced the block, so the block is printed again below it.
    if (block !== undefined) update(block)
  }
  return {
    part: (part) => stay(formatPart(part)),
    line: stay,
    figures: (figures) => {
      block = formatBlock(rate(figures), figures, now() - startMs)
      update(block)
    },
    close: () => update.done(),
  }
}
