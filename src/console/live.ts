import { signal } from '@preact/signals'
import { ApiProblem, type Change, type Changes } from '../client/index.ts'
import { now } from './clock.ts'
import type { Session } from './session.ts'

/** The changes of the read model as they happen, for all pages together: one request for a tab, and none while nobody looks at it. */

export type Connection = {
  readonly isConnected: boolean
  /** Unix ms on this machine. */
  readonly sinceMs: number
  /** Why it was lost. */
  readonly why?: string | undefined
}

export const connection = signal<Connection>({ isConnected: true, sinceMs: Date.now() })

type Listener = (news: Changes) => void

const listeners = new Set<Listener>()

/** Calls `listener` for all changes from now on, in order and each once. Returns what ends that. */
export function onChanges(listener: Listener): () => void {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}

/** How many changes are remembered for a page that is opened later. */
const MOST_RECENT = 2_000

let recent: readonly Change[] = []

/** The latest changes, oldest first. */
export const recentChanges = (): readonly Change[] => recent

/** A time whose changes were not heard: the connection was away for longer than the API remembers them. ISO 8601. */
export type Missed = { readonly from: string; readonly to: string }

/** The latest of them, oldest first. */
export const missed = signal<readonly Missed[]>([])
const MOST_MISSED = 50

/** Follows changes until `ended`; while the page is hidden it waits, then goes on where it was. */
export async function follow({ client }: Session, ended: AbortSignal): Promise<void> {
  let cursor: string | undefined
  /** Nothing was missed until then. */
  let heardUntil: string | undefined
  recent = []
  missed.value = []
  while (!ended.aborted) {
    await becomeVisible(ended)
    const hidden = untilHidden(ended)
    const onConnection = (isConnected: boolean, problem?: ApiProblem) => {
      connection.value = { isConnected, sinceMs: Date.now(), why: problem?.message }
    }
    try {
      for await (const news of client.changes({ after: cursor, signal: hidden, onConnection })) {
        cursor = news.cursor
        const present = new Date(now.peek()).toISOString()
        if (news.reset && heardUntil !== undefined)
          missed.value = [...missed.peek(), { from: heardUntil, to: present }].slice(-MOST_MISSED)
        heardUntil = news.changes.at(-1)?.at ?? present
        recent = [...recent, ...news.changes].slice(-MOST_RECENT)
        for (const listener of listeners) listener(news)
      }
    } catch (error) {
      if (!(error instanceof ApiProblem)) throw error
      // Whatever is not the token's fault may go away.
      if (error.status === 401) return
      onConnection(false, error)
      cursor = undefined
      await new Promise((resolve) => setTimeout(resolve, 5_000))
    }
  }
}

function becomeVisible(ended: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden && !ended.aborted) return
      document.removeEventListener('visibilitychange', look)
      resolve()
    }
    document.addEventListener('visibilitychange', look)
    ended.addEventListener('abort', look, { once: true })
    look()
  })
}

function untilHidden(ended: AbortSignal): AbortSignal {
  const controller = new AbortController()
  const look = () => {
    if (!document.hidden && !ended.aborted) return
    document.removeEventListener('visibilitychange', look)
    ended.removeEventListener('abort', look)
    controller.abort()
  }
  document.addEventListener('visibilitychange', look)
  ended.addEventListener('abort', look)
  look()
  return controller.signal
}
