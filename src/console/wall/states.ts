/** States of agents: each has a shape besides its colour, since not everybody sees colours, and a screen on a wall is far away. */

export const AGENT_STATES = ['available', 'busy', 'wrapup', 'logging_in', 'logging_out', 'offline'] as const

/** No state was heard. */
export const UNKNOWN = 'unknown'

type Look = {
  readonly shape: string
  readonly label: string
  /** Of wall.css: `state-…`. */
  readonly className: string
}

const LOOKS: Readonly<Record<string, Look>> = {
  available: { shape: '●', label: 'available', className: 'state-available' },
  busy: { shape: '◆', label: 'busy', className: 'state-busy' },
  wrapup: { shape: '▲', label: 'wrap-up', className: 'state-wrapup' },
  logging_in: { shape: '◐', label: 'logging in', className: 'state-logging' },
  logging_out: { shape: '◑', label: 'logging out', className: 'state-logging' },
  offline: { shape: '○', label: 'offline', className: 'state-offline' },
  [UNKNOWN]: { shape: '□', label: 'unknown', className: 'state-offline' },
}

/** How a state is shown; a state of a newer dialler under its own name. */
export const lookOf = (status: string | null): Look =>
  (Object.hasOwn(LOOKS, status ?? UNKNOWN) ? LOOKS[status ?? UNKNOWN] : undefined) ?? {
    shape: '■',
    label: status ?? UNKNOWN,
    className: 'state-other',
  }

const ORDER: readonly string[] = AGENT_STATES.filter((state) => state !== 'offline')
const rankOf = (status: string): number => {
  if (status === 'offline' || status === UNKNOWN) return ORDER.length + 1
  const at = ORDER.indexOf(status)
  return at === -1 ? ORDER.length : at
}

/** Counts by state, those that work first; states without anybody are left out. */
export const byState = (counts: Readonly<Record<string, number>>): readonly (readonly [string, number])[] =>
  Object.entries(counts)
    .filter(([, count]) => count > 0)
    .toSorted(([a], [b]) => rankOf(a) - rankOf(b) || (a < b ? -1 : 1))

/** The same for two states of agents. */
export const compareStates = (a: string | null, b: string | null): number =>
  rankOf(a ?? UNKNOWN) - rankOf(b ?? UNKNOWN) || ((a ?? '') < (b ?? '') ? -1 : Number(a !== b))

/** States of campaigns. */
export function campaignLook(status: string | null): { readonly shape: string; readonly className: string } {
  if (status === 'started') return { shape: '▶', className: 'good' }
  if (status === 'stopping') return { shape: '◧', className: 'warn' }
  if (status === 'stopped') return { shape: '■', className: 'muted' }
  if (status === 'completed') return { shape: '✓', className: 'muted' }
  return { shape: '□', className: 'muted' }
}
