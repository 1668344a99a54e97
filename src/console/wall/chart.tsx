import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import type uPlot from 'uplot'
import { formatCount, formatCountOrNone, formatTime } from '../format.ts'

/* Charts over time. The library that draws them is loaded when the first chart is shown. */

export type ChartData = {
  /** Unix ms, ascending. */
  readonly timesMs: readonly number[]
  /** Each series has one value per time. null means no value. */
  readonly series: readonly { readonly label: string; readonly values: readonly (number | null)[] }[]
}

export type ChartProps = {
  /** The title of the chart. */
  readonly label: string
  /** Bars are stacked; lines are not. */
  readonly kind: 'bars' | 'lines'
  readonly data: ChartData
}

const HEIGHT = 200
const HOUR_S = 3_600
/** wall.css has the same number of colours. */
const COLOURS = 8
const DASHES = [[], [6, 4], [2, 3], [8, 3, 2, 3]] as const

export function Chart({ label, kind, data }: ChartProps) {
  const figure = useRef<HTMLElement>(null)
  const frame = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot>(undefined)
  /** The index of the time under the pointer. */
  const at = useSignal<number | undefined>(undefined)
  const problem = useSignal('')
  const latest = useRef(data)
  latest.current = data
  const { timesMs, series } = data
  const names = JSON.stringify(series.map((one) => one.label))

  useEffect(() => {
    const { current: parent } = frame
    if (parent === null || series.length === 0) return undefined
    const ended = new AbortController()
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: parent.clientWidth, height: HEIGHT }))
    const run = async () => {
      const { default: UPlot } = await import('uplot')
      if (ended.signal.aborted) return
      const options = toOptions(
        UPlot,
        kind,
        names,
        parent,
        colourOf(figure.current),
        (index) => void (at.value = index),
      )
      plot.current = new UPlot(options, toPlot(kind, latest.current), parent)
      observer.observe(parent)
    }
    // After a deployment, the files that an open page requests may no longer exist.
    run().catch((error: unknown) => void (problem.value = String(error)))
    const repaint = () => plot.current?.redraw(false, true)
    // The chosen colours are an attribute of the root element.
    const themeObserver = new MutationObserver(repaint)
    themeObserver.observe(document.documentElement, { attributes: true })
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint, { signal: ended.signal })
    return () => {
      ended.abort()
      themeObserver.disconnect()
      observer.disconnect()
      plot.current?.destroy()
      plot.current = undefined
    }
  }, [kind, names])
  useEffect(() => plot.current?.setData(toPlot(kind, data)), [data])

  if (series.length === 0)
    return (
      <figure class="chart">
        <figcaption>{label}</figcaption>
        <p class="muted">No data yet.</p>
      </figure>
    )
  const shown = at.value ?? timesMs.length - 1
  return (
    <figure class="chart" ref={figure}>
      <figcaption>{label}</figcaption>
      <div ref={frame} class="plot" role="img" aria-label={`${label}. ${summary(data)}`} />
      {problem.value !== '' && (
        <p class="problem">The chart could not be drawn. Reload the page to try again. {problem.value}</p>
      )}
      <ul class="legend">
        <li class="muted">{formatTime(toIso(timesMs[shown]))}</li>
        {series.map((one, index) => (
          <li key={one.label}>
            <span class={`swatch series-${index % COLOURS}`} aria-hidden="true" />
            {one.label} {formatCountOrNone(one.values[shown])}
          </li>
        ))}
      </ul>
      <details>
        <summary>As a table</summary>
        <Table data={data} label={label} />
      </details>
    </figure>
  )
}

const toIso = (ms: number | undefined): string | null => (ms === undefined ? null : new Date(ms).toISOString())

function summary({ timesMs, series }: ChartData): string {
  const latest = series.map(({ label, values }) => `${label} ${formatCountOrNone(values.at(-1))}`)
  return `From ${formatTime(toIso(timesMs[0]))} to ${formatTime(toIso(timesMs.at(-1)))}. Latest: ${latest.join(', ')}.`
}

/** Shows the newest values as a table, newest first. */
function Table({ data: { timesMs, series }, label }: { readonly data: ChartData; readonly label: string }) {
  const places = timesMs
    .map((_, place) => place)
    .slice(-72)
    .toReversed()
  return (
    <div class="chart-table" tabIndex={0} role="group" aria-label={label}>
      <table aria-label={label}>
        <thead>
          <tr>
            <th>Time</th>
            {series.map((one) => (
              <th key={one.label} class="number">
                {one.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {places.map((place) => (
            <tr key={timesMs[place]}>
              <td>{formatTime(toIso(timesMs[place]))}</td>
              {series.map((one) => (
                <td key={one.label} class="number">
                  {formatCountOrNone(one.values[place])}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

/** Converts data for uPlot. Bars are stacked: each series includes the ones below it, and is drawn before them. */
function toPlot(kind: ChartProps['kind'], { timesMs, series }: ChartData): uPlot.AlignedData {
  const times = timesMs.map((ms) => ms / 1_000)
  if (kind === 'lines') return [times, ...series.map(({ values }) => [...values])]
  const sums = times.map(() => 0)
  const stacked = series.map(({ values }) => values.map((value, at) => (sums[at] = (sums[at] ?? 0) + (value ?? 0))))
  return [times, ...stacked.toReversed()]
}

/** Returns the current colour of an element, because a canvas cannot use custom properties of CSS. */
const colourOf = (figure: HTMLElement | null) => (selector: string) => {
  const element = figure?.querySelector(selector)
  return element === null || element === undefined ? 'gray' : getComputedStyle(element).color
}

/** Formats ticks as `08:00`, with seconds if ticks are less than a minute apart, and as a date at midnight. */
const formatTicks: uPlot.Axis.DynamicValues = (_, ticks, __, ___, step) =>
  ticks.map((tick) => {
    const [date, time] = [new Date(tick * 1_000).toDateString().slice(4, 10), formatTime(toIso(tick * 1_000)).slice(-8)]
    return time === '00:00:00' ? date : step < 60 ? time : time.slice(0, 5)
  })

function toOptions(
  { paths }: typeof uPlot,
  kind: ChartProps['kind'],
  names: string,
  parent: HTMLElement,
  colour: (selector: string) => string,
  onPoint: (index: number | undefined) => void,
): uPlot.Options {
  const count = (JSON.parse(names) as readonly string[]).length
  const axis: uPlot.Axis = {
    stroke: () => colour('figcaption'),
    grid: { stroke: () => colour('.plot'), width: 1 },
    ticks: { stroke: () => colour('.plot'), width: 1 },
  }
  // A bar begins at the start of its hour.
  const bars = paths.bars?.({ size: [0.8, 48], align: 1 })
  const isBars = kind === 'bars'
  const of = (place: number): uPlot.Series => {
    const index = isBars ? count - 1 - place : place
    const own = () => colour(`.series-${index % COLOURS}`)
    if (isBars) return { stroke: own, fill: own, width: 0, points: { show: false }, ...(bars && { paths: bars }) }
    const dash = DASHES[Math.floor(index / 2) % DASHES.length] ?? []
    return { stroke: own, width: 2, dash: [...dash], points: { show: false } }
  }
  return {
    width: parent.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { show: kind === 'lines' } },
    scales: {
      x: { range: (_, from, to) => (isBars ? [from, to + HOUR_S] : [from, Math.max(to, from + 60)]) },
      y: { range: (_, __, most) => [0, Math.max(1, most * 1.05)] },
    },
    axes: [
      { ...axis, values: formatTicks },
      { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => formatCount(tick)) },
    ],
    series: [{}, ...Array.from({ length: count }, (_, place) => of(place))],
    hooks: { setCursor: [({ cursor: { idx } }) => onPoint(idx ?? undefined)] },
  }
}
