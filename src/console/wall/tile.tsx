import { useComputed, type ReadonlySignal } from '@preact/signals'
import type { WallAgent } from '../../client/index.ts'
import { formatSpan } from '../format.ts'
import { lookOf } from './states.ts'
import { levelOf, thresholds, timeInState } from './thresholds.ts'

const LEVEL_MARKS = { none: '', warn: '!', over: '!!' }
const LEVEL_TEXTS = { none: '', warn: ' for long,', over: ' for too long,' }

export type TileProps = {
  readonly agent: ReadonlySignal<WallAgent>
  readonly nowMs: ReadonlySignal<number>
  /** Whether the keyboard is here. */
  readonly isAt: boolean
  readonly place: number
  readonly of: number
  readonly onOpen: (ref: string) => void
}

/** An agent. It is rendered when this agent has changed; what ticks are texts and a class, each by itself. */
export function Tile({ agent, nowMs, isAt, place, of, onOpen }: TileProps) {
  const { ref, status, campaign, unsure, call } = agent.value
  const { shape, label, className } = lookOf(status)
  const level = useComputed(() => levelOf(agent.value, thresholds.value, nowMs.value))
  const time = useComputed(() => (agent.value.since === null ? '' : formatSpan(timeInState(agent.value, nowMs.value))))
  const callTime = useComputed(() => {
    const { call: own } = agent.value
    return own === undefined ? '' : formatSpan(nowMs.value - Date.parse(own.since))
  })
  const isUnsure = unsure === true || call?.unsure === true
  const classes = useComputed(() => {
    const { status: own, unsure: isHatched, call: current } = agent.value
    const hatched = isHatched === true || current?.unsure === true ? ' unsure' : ''
    return `tile ${lookOf(own).className} level-${level.value}${hatched}`
  })
  const mark = useComputed(() => LEVEL_MARKS[level.value])
  const levelText = useComputed(() => LEVEL_TEXTS[level.value])
  return (
    <li aria-setsize={of} aria-posinset={place + 1}>
      <button class={classes} data-ref={ref} tabIndex={isAt ? 0 : -1} onClick={() => onOpen(ref)}>
        <span class="tile-head">
          <span class="shape" aria-hidden="true">
            {shape}
          </span>
          <b>{ref}</b>
          <span class="mark" aria-hidden="true">
            {mark}
          </span>
          <span class="time">{time}</span>
        </span>
        <span class="tile-line">
          <span class="state">{label}</span>
          <span class="hidden-label">
            {levelText}
            {isUnsure && ' unsure,'}
          </span>
          {campaign !== null && (
            <span class="in">
              <span class="hidden-label">campaign </span>
              {campaign}
            </span>
          )}
          {call !== undefined && (
            <span class="call">
              <span aria-hidden="true">{call.inbound === true ? '↙' : '↗'}</span>
              <span class="hidden-label">{call.inbound === true ? 'inbound call' : 'outbound call'} </span>
              {callTime}
            </span>
          )}
        </span>
      </button>
    </li>
  )
}
