import type { Figures } from '../street/figures.ts'
import { createRates, type Rates } from './rates.ts'
import type { Output, View } from './view.ts'
import { partLine, short, shortMs, timeOfDay } from './words.ts'

/** A column: what stands above it in two rows, how wide it is, and what it shows. */
type Column = {
  readonly above: string
  readonly below: string
  readonly width: number
  readonly cell: (rates: Rates, figures: Figures, date: Date) => string
}

const route = (name: string, above: string, below: string, width: number): Column => ({
  above,
  below,
  width,
  cell: (rates) => inAndOut(rates, name),
})

/** 100 characters together. */
const COLUMNS: readonly Column[] = [
  { above: '', below: 'time', width: 9, cell: (_rates, _figures, date) => timeOfDay(date) },
  route('agents-status', 'agents', 'status', 7),
  route('agents-call', '', 'call', 6),
  route('agents-stats', '', 'stats', 6),
  route('campaigns-cdr', 'campaigns', 'cdr', 7),
  route('campaigns-status', '', 'status', 7),
  route('campaigns-stats', '', 'stats', 6),
  route('campaigns-dial_preview', '', 'preview', 8),
  route('inbound-call', 'inbound', 'call', 8),
  route('dialers-status', 'dialers', 'status', 8),
  route('other', 'other', '', 6),
  { above: 'relay ms', below: 'p50', width: 5, cell: ({ relayP50 }) => shortMs(relayP50) },
  { above: '', below: 'p99', width: 5, cell: ({ relayP99 }) => shortMs(relayP99) },
  { above: 'back', below: 'log', width: 5, cell: (_rates, { backlog }) => short(backlog) },
  { above: 'par', below: 'ked', width: 4, cell: (_rates, { parked }) => short(parked) },
  { above: 'gap', below: 's', width: 3, cell: (_rates, { gaps }) => short(gaps) },
]

/** Notifications in and out: one number where both are the same. */
function inAndOut(rates: Rates, name: string): string {
  const { received = 0, handled = 0 } = rates.routes.find((one) => one.name === name) ?? {}
  if (received === handled) return received === 0 ? '.' : short(received)
  return `${short(received)}/${short(handled)}`
}

/** A row of texts, each where its column begins; what is too wide pushes the next ones to the right. */
function row(texts: readonly string[]): string {
  let line = ''
  let at = 0
  COLUMNS.forEach(({ width }, index) => {
    const text = texts[index] ?? ''
    if (text !== '') line = (line.length >= at && at > 0 ? `${line} ` : line.padEnd(at)) + text
    at += width
  })
  return line
}

const HEADING = `${row(COLUMNS.map(({ above }) => above))}\n${row(COLUMNS.map(({ below }) => below))}`

/** So many lines after a heading it has scrolled away. */
const LINES_PER_HEADING = 30

/** For what is not a terminal: a line for each thing, and a line a second. */
export function createPlainView(output: Output, now: () => Date = () => new Date()): View {
  const rate = createRates()
  const write = (text: string) => void output.write(`${text}\n`)
  let untilHeading = 0
  return {
    part: (part) => write(partLine(part)),
    line: write,
    figures: (figures) => {
      if (untilHeading === 0) {
        write(`\nnotifications a second by sub_type: in/out, or one number where both are the same\n${HEADING}`)
        untilHeading = LINES_PER_HEADING
      }
      untilHeading--
      const rates = rate(figures)
      const date = now()
      write(row(COLUMNS.map(({ cell }) => cell(rates, figures, date))))
    },
    close: () => undefined,
  }
}
