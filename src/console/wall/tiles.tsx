import { type ReadonlySignal, useSignal } from '@preact/signals'
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks'
import type { WallAgent } from '../../client/index.ts'
import { type Ticker, useTick, writeText } from '../clock.ts'
import { formatSpan } from '../format.ts'
import { focusNextFrame, useKeys } from '../focus.tsx'
import { levelOf, thresholds, timeInState } from './thresholds.tsx'
import { lookOf } from './wall-figures.tsx'
import type { ShownAgents, WallModel } from './wall-model.ts'

/** The size of a tile in em of the grid, so that tiles grow with the text. wall.css has the same values. */
const [WIDTH_EM, HEIGHT_EM, GAP_EM] = [12.5, 3.7, 0.4]

/** Extra rows above and below the screen, so that scrolling shows no blank space. */
const OVERSCAN = 2

/** Tiles that are added in one frame: a long scroll or another order adds more than two hundred. */
const MAX_NEW_TILES = 40

type View = {
  readonly columns: number
  /** In px, including the gap. */
  readonly rowHeight: number
  readonly first: number
  readonly rows: number
}

/** Renders the tiles of agents. Only visible ones are in the document, so that two thousand are as fast as fifty. */
export function Tiles({
  model,
  shown,
  onOpen,
}: {
  readonly model: WallModel
  readonly shown: ShownAgents
  readonly onOpen: (ref: string) => void
}) {
  const grid = useRef<HTMLUListElement>(null)
  const view = useSignal<View>({ columns: 1, rowHeight: 60, first: 0, rows: 20 })
  const at = useSignal<string | undefined>(undefined)
  const refs = shown.refs.value
  const { columns, rowHeight, first, rows } = view.value
  const allRows = Math.ceil(refs.length / columns)

  const measure = () => {
    const { current } = grid
    const page = current?.closest('main')
    if (current === null || page === null || page === undefined) return
    const em = Number.parseFloat(getComputedStyle(current).fontSize)
    const height = (HEIGHT_EM + GAP_EM) * em
    const above = page.getBoundingClientRect().top - current.getBoundingClientRect().top
    const next = {
      columns: Math.max(1, Math.floor((current.clientWidth + GAP_EM * em) / ((WIDTH_EM + GAP_EM) * em))),
      rowHeight: height,
      first: Math.max(0, Math.floor(above / height) - OVERSCAN),
      rows: Math.ceil(page.clientHeight / height) + 2 * OVERSCAN,
    }
    if (Object.keys(next).some((key) => next[key as keyof View] !== view.peek()[key as keyof View])) view.value = next
  }
  useLayoutEffect(measure, [])
  useEffect(() => {
    const { current } = grid
    const page = current?.closest('main')
    if (current === null || page === null || page === undefined) return undefined
    // The grid moves when elements above it grow.
    const observer = new ResizeObserver(measure)
    for (const element of [page, ...page.children, current]) observer.observe(element)
    page.addEventListener('scroll', measure, { passive: true })
    return () => {
      observer.disconnect()
      page.removeEventListener('scroll', measure)
    }
  }, [])

  const start = Math.min(first, Math.max(0, allRows - 1)) * columns
  const visible = refs.slice(start, start + rows * columns)
  const rest = useSignal(0)
  void rest.value
  const filled = useRef<ReadonlySet<string>>(new Set())
  let room = MAX_NEW_TILES
  filled.current = new Set(visible.filter((ref) => filled.current.has(ref) || room-- > 0))
  const isWhole = filled.current.size === visible.length
  useEffect(() => {
    if (!isWhole) requestAnimationFrame(() => void rest.value++)
  })
  const atRef = at.value !== undefined && visible.includes(at.value) ? at.value : visible[0]
  const atNow = useRef(atRef)
  atNow.current = atRef

  /** An element that is moved in the document loses the focus. The layout effect gives it back to the same agent. */
  const hasFocus = useRef(false)
  const isChanging = useRef(true)
  isChanging.current = true
  useLayoutEffect(() => {
    const { current } = grid
    const { activeElement } = document
    if (current !== null && hasFocus.current && (activeElement === document.body || current.contains(activeElement))) {
      const own = at.peek()
      const focused = activeElement instanceof HTMLElement ? activeElement.dataset['ref'] : undefined
      const button = own === undefined ? null : current.querySelector<HTMLElement>(`[data-ref=${CSS.escape(own)}]`)
      if (focused !== own) (button ?? current).focus({ preventScroll: true })
    }
    isChanging.current = false
  })

  const move = (by: number) => {
    const all = shown.refs.peek()
    const from = all.indexOf(at.peek() ?? '')
    const isThere = from !== -1 && document.activeElement?.closest('.tiles') === grid.current
    const to = isThere ? Math.min(all.length - 1, Math.max(0, from + by)) : all.indexOf(atNow.current ?? '')
    const [ref, { current }] = [all[to], grid]
    const page = current?.closest('main')
    if (ref === undefined || current === null || page === null || page === undefined) return
    at.value = ref
    const top = current.getBoundingClientRect().top + Math.floor(to / view.peek().columns) * view.peek().rowHeight
    const { top: upper, bottom: lower } = page.getBoundingClientRect()
    if (top < upper) page.scrollTop += top - upper
    else if (top + view.peek().rowHeight > lower) page.scrollTop += top + view.peek().rowHeight - lower
    measure()
    focusNextFrame(current, 'button[tabindex="0"]')
  }
  const onArrow = (event: KeyboardEvent) => {
    const by = {
      ArrowRight: 1,
      ArrowLeft: -1,
      ArrowDown: columns,
      ArrowUp: -columns,
      Home: -refs.length,
      End: refs.length,
    }[event.key]
    if (by === undefined) return
    event.preventDefault()
    move(by)
  }
  useKeys([
    { key: 'j', does: 'next agent; the arrow keys move between agents too', run: () => move(1) },
    { key: 'k', does: 'previous agent', run: () => move(-1) },
  ])

  return (
    <ul
      ref={grid}
      class="tiles"
      aria-label="Agents"
      style={{
        height: `${allRows * rowHeight}px`,
        paddingTop: `${(start / columns) * rowHeight}px`,
        gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`,
      }}
      tabIndex={-1}
      onKeyDown={onArrow}
      onFocusIn={({ target }) => {
        const ref = (target as HTMLElement).dataset['ref']
        hasFocus.current = true
        if (ref !== undefined && !isChanging.current) at.value = ref
      }}
      onFocusOut={() => {
        if (!isChanging.current) hasFocus.current = false
      }}
    >
      {visible.map((ref, index) => {
        const agent = model.agentOf(ref)
        return agent === undefined || !filled.current.has(ref) ? (
          <li key={ref} />
        ) : (
          <Tile
            key={ref}
            agent={agent}
            nowMs={model.nowMs}
            ticker={model.ticker}
            isAt={ref === atRef}
            place={start + index}
            of={refs.length}
            onOpen={onOpen}
          />
        )
      })}
    </ul>
  )
}

const LEVEL_MARKS = { none: '', warn: '!', over: '!!' }
const LEVEL_TEXTS = { none: '', warn: 'for long', over: 'for too long' }

type TileProps = {
  readonly agent: ReadonlySignal<WallAgent>
  readonly nowMs: ReadonlySignal<number>
  readonly ticker: Ticker
  /** Whether the tile has the keyboard's cursor. */
  readonly isAt: boolean
  readonly place: number
  readonly of: number
  readonly onOpen: (ref: string) => void
}

/**
 * Renders an agent, again whenever the agent changes or crosses a threshold. In between, only its times are updated, without a render.
 * A tile has few elements, because scrolling lays out hundreds of tiles.
 */
function Tile({ agent, nowMs, ticker, isAt, place, of, onOpen }: TileProps) {
  const [time, callTime] = [useRef<HTMLSpanElement>(null), useRef<HTMLSpanElement>(null)]
  const crossed = useSignal(0)
  void crossed.value
  const { ref, status, campaign, unsure, call } = agent.value
  const level = levelOf(agent.value, thresholds.value, nowMs.peek())
  const shownLevel = useRef(level)
  shownLevel.current = level

  const tick = () => {
    const [own, ms] = [agent.peek(), nowMs.peek()]
    writeText(time.current, own.since === null ? '' : formatSpan(timeInState(own, ms)))
    writeText(
      callTime.current,
      own.call === undefined
        ? ''
        : `${own.call.inbound === true ? '↙' : '↗'} ${formatSpan(ms - Date.parse(own.call.since))}`,
    )
    if (levelOf(own, thresholds.peek(), ms) !== shownLevel.current) crossed.value++
  }
  useTick(ticker, tick)

  const { shape, label, className } = lookOf(status)
  const isUnsure = unsure === true || call?.unsure === true
  const spoken = [
    LEVEL_TEXTS[level],
    isUnsure ? 'unsure' : '',
    call === undefined ? '' : call.inbound === true ? 'inbound call' : 'outbound call',
  ].filter((words) => words !== '')
  return (
    <li aria-setsize={of} aria-posinset={place + 1}>
      <button
        class={`tile ${className} level-${level}${isUnsure ? ' unsure' : ''}`}
        data-ref={ref}
        tabIndex={isAt ? 0 : -1}
        onClick={() => onOpen(agent.peek().ref)}
      >
        <span class="time" ref={time} />
        <span class="tile-head">
          <span class="shape" aria-hidden="true">
            {shape}
          </span>
          {` ${ref} ${LEVEL_MARKS[level]}`}
        </span>
        {call !== undefined && <span class="call" ref={callTime} />}
        <span class="tile-line">{`${label} ${campaign ?? ''}`}</span>
        {spoken.length > 0 && <span class="hidden-label">{spoken.join(', ')}</span>}
      </button>
    </li>
  )
}
