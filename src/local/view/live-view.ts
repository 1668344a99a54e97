import { createLogUpdate } from 'log-update'
import pc from 'picocolors'
import type { Figures } from '../street/street-figures.ts'
import { partLine, shortMs } from './lines.ts'
import { createRates, type Rates, type View } from './view.ts'

const NAME_WIDTH = 26

const count = (n: number) => n.toLocaleString('en-US')
const cells = (values: readonly string[]) => values.map((value) => value.padStart(11)).join('')

/** The block that is written over each second. */
export function formatBlock(rates: Rates, figures: Figures, upMs: number): string {
  const totals = new Map(figures.routes.map((route) => [route.name, route]))
  const rows = rates.routes.map(({ name, received, handled }) => {
    const total = totals.get(name)
    const text =
      name.padEnd(NAME_WIDTH) + cells([received, handled, total?.received ?? 0, total?.handled ?? 0].map(count))
    return received + handled > 0 ? text : pc.dim(text)
  })
  const alarm = (n: number) => (n > 0 ? pc.yellow(count(n)) : count(n))
  const delays = `delay to the target ${shortMs(rates.relayP50)} / ${shortMs(rates.relayP99)} ms, to the read model ${shortMs(rates.handledP50)} / ${shortMs(rates.handledP99)} ms`
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

/** For a terminal: what happens scrolls by above a block with the figures. */
export function createLiveView(output: NodeJS.WriteStream, now: () => number = () => performance.now()): View {
  const update = createLogUpdate(output)
  const rate = createRates()
  const startMs = now()
  let block: string | undefined
  const stay = (text: string) => {
    update.persist(text)
    // What stays takes the block's place: it comes again below.
    if (block !== undefined) update(block)
  }
  return {
    part: (part) => stay(partLine(part)),
    line: stay,
    figures: (figures) => {
      block = formatBlock(rate(figures), figures, now() - startMs)
      update(block)
    },
    close: () => update.done(),
  }
}
