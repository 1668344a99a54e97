import { RELAY_TYPE } from '../../protocol/index.ts'
import type { Figures } from '../street/street-figures.ts'
import { partLine, short, shortMs, timeOfDay } from './lines.ts'
import { createRates, type Output, type Rates, type View } from './view.ts'

/** A column: what stands above it in two rows, how wide it is, and what it shows. */
type Column = {
  readonly above: string
  readonly below: string
  readonly width: number
  readonly cell: (rates: Rates, figures: Figures, date: Date) => string
}

const TIME: Column = { above: '', below: 'time', width: 9, cell: (_rates, _figures, date) => timeOfDay(date) }
const BEHIND: readonly Column[] = [
  { above: 'relay ms', below: 'p50', width: 5, cell: ({ relayP50 }) => shortMs(relayP50) },
  { above: '', below: 'p99', width: 5, cell: ({ relayP99 }) => shortMs(relayP99) },
  { above: 'back', below: 'log', width: 5, cell: (_rates, { backlog }) => short(backlog) },
  { above: 'par', below: 'ked', width: 4, cell: (_rates, { parked }) => short(parked) },
  { above: 'gap', below: 's', width: 3, cell: (_rates, { gaps }) => short(gaps) },
]

/** The narrowest column of a route: `99/99` and a space. */
const NARROWEST = 6

/** A column for each route that is not the relay's own: its type stands above the first of a type. */
function columnsOf(names: readonly string[]): Column[] {
  const routes = names.map((name) => {
    const [type = name, ...rest] = name.split('-')
    return { name, type, subType: rest.join('-') }
  })
  const shown = routes.filter(({ type }) => type !== RELAY_TYPE)
  return shown.map(({ name, type, subType }, index) => {
    const isFirst = shown[index - 1]?.type !== type
    const below = subType.length < LONG_WORD ? subType : subType.slice(subType.lastIndexOf('_') + 1)
    // Over several columns a type has room.
    const above = isFirst && shown[index + 1]?.type !== type ? type.length + 1 : 0
    const width = Math.max(NARROWEST, below.length + 1, above)
    return { above: isFirst ? type : '', below, width, cell: (rates) => inAndOut(rates, name) }
  })
}

/** Of a sub_type as long as this (characters) the last word stands for it: `preview`. */
const LONG_WORD = 10

/** Notifications in and out: one number where both are the same. */
function inAndOut(rates: Rates, name: string): string {
  const { received = 0, handled = 0 } = rates.routes.find((one) => one.name === name) ?? {}
  if (received === handled) return received === 0 ? '.' : short(received)
  return `${short(received)}/${short(handled)}`
}

/** A row of texts, each where its column begins; what is too wide pushes the next ones to the right. */
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
