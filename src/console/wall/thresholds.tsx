import { effect, signal, useSignal } from '@preact/signals'
import type { WallAgent } from '../../client/index.ts'
import { Dialog } from '../focus.tsx'
import { AGENT_STATES, lookOf } from './wall-figures.tsx'

/* How long an agent may be in a state before the wall marks it. The browser stores the thresholds, so each display has its own. */

export type Threshold = {
  /** Minutes until the agent is marked as long. undefined: never. */
  readonly warn?: number | undefined
  /** Minutes until the agent is marked as too long. undefined: never. */
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

export const thresholds = signal<Thresholds>(readStored())

effect(() => localStorage.setItem(KEY, JSON.stringify(thresholds.value)))

function readStored(): Thresholds {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? 'null')
    if (typeof stored !== 'object' || stored === null) return DEFAULT_THRESHOLDS
    return Object.fromEntries(
      Object.entries(stored as Record<string, { warn?: unknown; over?: unknown } | null>).map(([state, own]) => [
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

/** Returns how long (ms) an agent has been in its state. */
export const timeInState = ({ since }: WallAgent, nowMs: number): number =>
  since === null ? 0 : Math.max(0, nowMs - Date.parse(since))

/** Returns which threshold an agent has crossed in its state. */
export function levelOf(agent: WallAgent, all: Thresholds, nowMs: number): Level {
  const { status, since } = agent
  if (status === null || since === null || !Object.hasOwn(all, status)) return 'none'
  const { warn, over } = all[status] ?? {}
  const minutes = timeInState(agent, nowMs) / 60_000
  if (over !== undefined && minutes >= over) return 'over'
  return warn !== undefined && minutes >= warn ? 'warn' : 'none'
}

/** Edits the thresholds of each state. */
export function ThresholdsDialog({
  states,
  onClose,
}: {
  /** The present states of agents, because a newer dialler may have further states. */
  readonly states: readonly string[]
  readonly onClose: () => void
}) {
  const problem = useSignal('')
  const all = [...new Set([...AGENT_STATES, ...states.filter((state) => state !== 'unknown')])]
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget as HTMLFormElement)
    const read = (name: string): number | undefined => Number(form.get(name)) || undefined
    const next = all.map((state): [string, Threshold] => [
      state,
      { warn: read(`warn ${state}`), over: read(`over ${state}`) },
    ])
    const wrong = next.find(([, { warn, over }]) => warn !== undefined && over !== undefined && warn > over)
    if (wrong !== undefined) {
      problem.value = `${lookOf(wrong[0]).label}: “long” must not be more than “too long”.`
      return
    }
    thresholds.value = Object.fromEntries(next)
    onClose()
  }
  return (
    <Dialog title="Thresholds" onClose={onClose}>
      <p>
        The wall marks agents that have been in a state for at least this many minutes. This browser stores the values.
        An empty field means no limit.
      </p>
      <form class="stack" onSubmit={submit}>
        <table class="thresholds" aria-label="Thresholds by state, in minutes">
          <thead>
            <tr>
              <th>State</th>
              <th>
                Long <span aria-hidden="true">!</span>
              </th>
              <th>
                Too long <span aria-hidden="true">!!</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {all.map((state) => {
              const { shape, label, className } = lookOf(state)
              return (
                <tr key={state}>
                  <th scope="row" class={className}>
                    <span class="shape" aria-hidden="true">
                      {shape}
                    </span>{' '}
                    {label}
                  </th>
                  {(['warn', 'over'] as const).map((level) => (
                    <td key={level}>
                      <input
                        type="number"
                        name={`${level} ${state}`}
                        min="0.1"
                        max="1440"
                        step="any"
                        aria-label={`${label}: minutes until ${level === 'warn' ? 'long' : 'too long'}`}
                        defaultValue={thresholds.peek()[state]?.[level]?.toString() ?? ''}
                      />
                    </td>
                  ))}
                </tr>
              )
            })}
          </tbody>
        </table>
        {problem.value !== '' && (
          <p class="problem" role="alert">
            {problem.value}
          </p>
        )}
        <div class="actions">
          <button>Save</button>
          <button
            type="button"
            class="second"
            onClick={() => {
              thresholds.value = DEFAULT_THRESHOLDS
              onClose()
            }}
          >
            Use the defaults
          </button>
        </div>
      </form>
    </Dialog>
  )
}
