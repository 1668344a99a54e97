import { useSignal, type ReadonlySignal } from '@preact/signals'
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks'
import type { WallAgent } from '../../client/index.ts'
import { formatSpan } from '../format.ts'
import { lookOf } from './states.ts'
import { levelOf, thresholds, timeInState } from './thresholds.ts'
import type { Ticker } from './ticker.ts'

const LEVEL_MARKS = { none: '', warn: '!', over: '!!' }
const LEVEL_TEXTS = { none: '', warn: 'for long, ', over: 'for too long, ' }

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
 * Preact, since there are hundreds of them each second.
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
    write(time.current, own.since === null ? '' : formatSpan(timeInState(own, ms)))
    write(
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
  return (
    <li aria-setsize={of} aria-posinset={place + 1}>
      <button
        class={`tile ${className} level-${level}${isUnsure ? ' unsure' : ''}`}
        data-ref={ref}
        tabIndex={isAt ? 0 : -1}
        onClick={() => onOpen(agent.peek().ref)}
      >
        <span class="tile-head">
          <span class="shape" aria-hidden="true">
            {shape}
          </span>{' '}
          <b>{ref}</b>{' '}
          <span class="mark" aria-hidden="true">
            {LEVEL_MARKS[level]}
          </span>
          <span class="time" ref={time} />
        </span>
        <span class={call === undefined ? 'tile-line' : 'tile-line with-call'}>
          <span class="state">{label}</span>{' '}
          <span class="hidden-label">
            {LEVEL_TEXTS[level]}
            {isUnsure ? 'unsure, ' : ''}
            {campaign === null ? '' : 'campaign '}
          </span>
          <span class="in">{campaign}</span>
          <span class="hidden-label">
            {call === undefined ? '' : call.inbound === true ? ' inbound call ' : ' outbound call '}
          </span>
          <span class="call" ref={callTime} />
        </span>
      </button>
    </li>
  )
}

const markOf = ({ inbound }: NonNullable<WallAgent['call']>): string => (inbound === true ? '↙' : '↗')

function write(element: HTMLElement | null, text: string): void {
  if (element === null) return
  const { firstChild } = element
  if (firstChild instanceof Text) {
    if (firstChild.data !== text) firstChild.data = text
  } else element.textContent = text
}
