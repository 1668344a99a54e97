import { expect, test } from 'vitest'

import { createLog } from '../../src/runtime/index.ts'
import type { Buckets, Figures } from '../../src/local/street/street-figures.ts'
import { createPlainView, formatBlock } from '../../src/local/view/show-street.ts'
import {
  createRates,
  formatLogLine,
  formatPart,
  formatShort,
  formatMs,
  createLogOutput,
} from '../../src/local/view/lines.ts'
import { ROUTES } from '../support/routes.ts'

/** Figures after so many notifications of each route, each a delay of 1.5 ms in the relay. */
function makeFigures(received: number, handled = received, more: Partial<Figures> = {}): Figures {
  const buckets = (count: number): Buckets => [
    { atMost: 0.001, count: 0 },
    { atMost: 0.002, count },
    { atMost: Infinity, count },
  ]
  const routes = ROUTES.all.map(({ name }) => ({ name, received, handled }))
  return {
    routes,
    relayDelay: buckets(received),
    handledDelay: buckets(handled),
    backlog: 0,
    parked: 0,
    gaps: 0,
    sends: 0,
    invocations: 0,
    ...more,
  }
}

/** What a plain view has written, at noon. */
function usePlainView() {
  const lines: string[] = []
  const view = createPlainView(
    { write: (text) => lines.push(...text.replace(/\n$/, '').split('\n')) },
    () => new Date(2026, 0, 1, 12, 0, 5),
  )
  return { view, lines }
}

const HEADING_LINES = 4

test('each line shows how many notifications of each sub_type were received and handled since the previous line', () => {
  const { view, lines } = usePlainView()
  view.figures(makeFigures(3))
  view.figures(makeFigures(5, 4, { backlog: 7, parked: 2, gaps: 1 }))
  const [first, second] = lines.slice(HEADING_LINES)
  expect(first?.split(/\s+/)).toEqual(['12:00:05', ...Array<string>(10).fill('3'), '1.5', '2.0', '0', '0', '0'])
  expect(second?.split(/\s+/)).toEqual(['12:00:05', ...Array<string>(10).fill('2/1'), '1.5', '2.0', '7', '2', '1'])
})

test('a custom sub_type has a column, and the notices of the relay have none', () => {
  const { view, lines } = usePlainView()
  const names = ['agents-break', 'agents-status', 'crm-contact_was_merged', 'relay-gap', 'other']
  view.figures({ ...makeFigures(0), routes: names.map((name, at) => ({ name, received: at + 1, handled: at + 1 })) })
  expect(lines.slice(2).map((line) => line.split(/\s+/).filter((word) => word !== ''))).toEqual([
    ['agents', 'crm', 'other', 'relay', 'ms', 'back', 'par', 'gap'],
    ['time', 'break', 'status', 'merged', 'p50', 'p99', 'log', 'ked', 's'],
    ['12:00:05', '1', '2', '3', '5', '-', '-', '0', '0', '0'],
  ])
})

test('each figure stands below its heading', () => {
  const { view, lines } = usePlainView()
  view.figures(makeFigures(0))
  view.figures({
    ...makeFigures(0),
    routes: makeFigures(0).routes.map((route) =>
      route.name === 'campaigns-dial_preview' ? { ...route, received: 9 } : route,
    ),
  })
  const [, , , below, , line] = lines
  expect(line?.indexOf('9/0')).toBe(below?.indexOf('preview'))
})

test('lines with two-digit figures on both sides fit into 100 columns', () => {
  const { view, lines } = usePlainView()
  view.figures(makeFigures(0))
  view.figures(makeFigures(31, 30, { backlog: 9_999, parked: 120, gaps: 12 }))
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100)
})

test('figures that are too wide for their column stay apart from the next', () => {
  const { view, lines } = usePlainView()
  view.figures(makeFigures(0))
  view.figures(makeFigures(12_345, 1_200))
  expect(
    lines
      .at(-1)
      ?.split(' ')
      .filter((cell) => cell === '12k/1.2k'),
  ).toHaveLength(10)
})

test('the heading comes again when it has scrolled away', () => {
  const { view, lines } = usePlainView()
  for (let n = 0; n < 31; n++) view.figures(makeFigures(n))
  expect(lines.filter((line) => line.startsWith('time'))).toHaveLength(2)
})

test('percentiles are of the last ten readings only', () => {
  const rate = createRates()
  const slow: Buckets = [
    { atMost: 1, count: 0 },
    { atMost: 2, count: 100 },
    { atMost: Infinity, count: 100 },
  ]
  expect(rate({ ...makeFigures(0), relayDelay: slow }).relayP50).toBeCloseTo(1_500)
  for (let n = 0; n < 9; n++) rate({ ...makeFigures(0), relayDelay: slow })
  expect(rate({ ...makeFigures(0), relayDelay: slow }).relayP50).toBeUndefined()
})

test('the terminal block shows the count of each route and fits into 100 columns', () => {
  const rate = createRates()
  rate(makeFigures(1_000))
  const figures = makeFigures(1_234_567, 1_234_560)
  // Colours take no room.
  const lines = formatBlock(rate(figures), figures, 3_725_000)
    .replace(/\x1b\[\d+m/g, '')
    .split('\n')
  for (const { name } of ROUTES.all)
    expect(lines.some((line) => line.startsWith(name) && line.includes('1,234,567'))).toBe(true)
  expect(lines.at(-1)).toContain('up 01:02:05')
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100)
})

test.each([
  [0, '0'],
  [999, '999'],
  [1_234, '1.2k'],
  [9_960, '10k'],
  [34_400, '34k'],
  [999_499, '999k'],
  [999_500, '1.0M'],
  [12_345_678, '12M'],
] as const)('%d is shown as %s', (n, text) => {
  expect(formatShort(n)).toBe(text)
})

test.each([
  [undefined, '-'],
  [0.44, '0.4'],
  [9.96, '10'],
  [1_500, '1.5k'],
] as const)('%s ms are shown as %s', (ms, text) => {
  expect(formatMs(ms)).toBe(text)
})

test('the line of a part holds its name, its address and the note', () => {
  expect(formatPart({ name: 'relay', address: 'http://127.0.0.1:8081', note: 'serves /livez' })).toMatch(
    /^relay {2,}http:\/\/127\.0\.0\.1:8081 {2,}serves \/livez$/,
  )
  expect(formatPart({ name: 'SQS', address: 'http://127.0.0.1:4566' })).toMatch(/^SQS {2,}http:\/\/127\.0\.0\.1:4566$/)
})

test('a log line is shown as a sentence with its fields', () => {
  const lines: string[] = []
  const log = createLog(
    'info',
    createLogOutput((line) => lines.push(line)),
  )
  log.warn({ code: 'relay.pubsub.gap', source: 'main', items: 3 }, 'Pub/Sub was not heard')
  log.error({ code: 'relay.process.idle' }, 'broken')
  expect(lines[0]).toMatch(
    /^\d\d:\d\d:\d\d warning: Pub\/Sub was not heard \(relay\.pubsub\.gap, source main, items 3\)$/,
  )
  expect(lines[1]).toMatch(/^\d\d:\d\d:\d\d error: broken \(relay\.process\.idle\)$/)
  expect(() => formatLogLine('not JSON')).toThrow(SyntaxError)
})
