import { type ReadonlySignal, useSignal } from '@preact/signals'
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks'
import type { WallAgent } from '../../client/index.ts'
import type { Ticker } from '../clock.ts'
import { formatSpan } from '../format.ts'
import { lookOf } from './states.ts'
import { levelOf, thresholds, timeInState } from './thresholds.ts'

const LEVEL_MARKS = { none: '', warn: '!', over: '!!' }
const LEVEL_TEXTS = { none: '', warn: 'for long', over: 'for too long' }

export type TileProps = {
  readonly agent: ReadonlySignal<WallAgent>
  readonly nowMs: ReadonlySignal<number>
  readonly ticker: Ticker
  /** Whether the keyboard is here. */
  readonly isAt: boolean
  readonly place: number
  readonly of: number
  readonly onOpen: (ref: string) => void
}

/**
 * An agent. It is rendered when this agent has changed, or has been in its state for too long. Its times tick in between: they are written past
 * Preact, since there are hundreds of them each second. It has few elements, since hundreds of tiles are laid out when somebody scrolls.
 */
export function Tile({ agent, nowMs, ticker, isAt, place, of, onOpen }: TileProps) {
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
      own.call === undefined ? '' : `${markOf(own.call)} ${formatSpan(ms - Date.parse(own.call.since))}`,
    )
    if (levelOf(own, thresholds.peek(), ms) !== shownLevel.current) crossed.value++
  }
  useLayoutEffect(tick)
  const latest = useRef(tick)
  latest.current = tick
  useEffect(() => ticker.add(() => latest.current()), [ticker])

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
        <span class="call" ref={callTime} />
        <span class={call === undefined ? 'tile-line' : 'tile-line with-call'}>{`${label} ${campaign ?? ''}`}</span>
        {spoken.length > 0 && <span class="hidden-label">{spoken.join(', ')}</span>}
      </button>
    </li>
  )
}

const markOf = ({ inbound }: NonNullable<WallAgent['call']>): string => (inbound === true ? '↙' : '↗')

/** Changes a text past Preact. */
export function writeText(element: HTMLElement | null, text: string): void {
  if (element === null) return
  const { firstChild } = element
  if (firstChild instanceof Text) {
    if (firstChild.data !== text) firstChild.data = text
  } else element.textContent = text
}
