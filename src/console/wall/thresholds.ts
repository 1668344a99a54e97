import { effect, signal } from '@preact/signals'
import type { WallAgent } from '../../client/index.ts'

/** For how long an agent may be in a state until the wall says so. They are kept by the browser: each screen has its own. */

export type Threshold = {
  /** Minutes; undefined: never. */
  readonly warn?: number | undefined
  readonly over?: number | undefined
}

export type Thresholds = Readonly<Record<string, Threshold>>

export const DEFAULT_THRESHOLDS: Thresholds = {
  available: { warn: 5, over: 10 },
  busy: { warn: 10, over: 20 },
  wrapup: { warn: 2, over: 4 },
  logging_in: { warn: 1, over: 2 },
  logging_out: { warn: 1, over: 2 },
}

export const LEVELS = ['none', 'warn', 'over'] as const
export type Level = (typeof LEVELS)[number]

const KEY = 'enigma-relay thresholds'

export const thresholds = signal<Thresholds>(read())

effect(() => localStorage.setItem(KEY, JSON.stringify(thresholds.value)))

function read(): Thresholds {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? 'null')
    if (typeof kept !== 'object' || kept === null) return DEFAULT_THRESHOLDS
    return Object.fromEntries(
      Object.entries(kept as Record<string, { warn?: unknown; over?: unknown } | null>).map(([state, own]) => [
        state,
        { warn: toMinutes(own?.warn), over: toMinutes(own?.over) },
      ]),
    )
  } catch {
    return DEFAULT_THRESHOLDS
  }
}

const toMinutes = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : undefined

/** How long (ms) an agent has been in its state. */
export const timeInState = ({ since }: WallAgent, nowMs: number): number =>
  since === null ? 0 : Math.max(0, nowMs - Date.parse(since))

/** Whether an agent has been in its state for too long. */
export function levelOf(agent: WallAgent, all: Thresholds, nowMs: number): Level {
  const { status, since } = agent
  if (status === null || since === null || !Object.hasOwn(all, status)) return 'none'
  const { warn, over } = all[status] ?? {}
  const minutes = timeInState(agent, nowMs) / 60_000
  if (over !== undefined && minutes >= over) return 'over'
  return warn !== undefined && minutes >= warn ? 'warn' : 'none'
}
