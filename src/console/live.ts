import { signal } from '@preact/signals'
import { ApiProblem, type Change, type Changes } from '../client/index.ts'
import { now } from './clock.ts'
import type { Session } from './session.ts'

/* Follows the change stream for all pages. A tab has one request open, and none while it is hidden. */

export type Connection = {
  readonly isConnected: boolean
  /** Since when it is connected or lost. Unix ms by the clock of this machine. */
  readonly sinceMs: number
  /** Why the connection was lost. */
  readonly why?: string | undefined
}

export const connection = signal<Connection>({ isConnected: true, sinceMs: Date.now() })

type Listener = (news: Changes) => void

const listeners = new Set<Listener>()

/** Calls `listener` with every further change, in order and once each. Returns a function that stops it. */
export function onChanges(listener: Listener): () => void {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}

/** How many changes are kept for a page that is opened later. */
const MAX_RECENT = 2_000

let recent: readonly Change[] = []

/** Returns the latest changes, oldest first. */
export const recentChanges = (): readonly Change[] => recent

/** A time span (ISO 8601) whose changes were missed: the connection was lost for longer than the API keeps them. */
export type Missed = { readonly from: string; readonly to: string }

/** The latest missed time spans, oldest first. */
export const missed = signal<readonly Missed[]>([])
const MAX_MISSED = 50

/** Follows changes until `ended` aborts. It pauses while the page is hidden, and continues from the same position. */
export async function followChanges({ client }: Session, ended: AbortSignal): Promise<void> {
  let cursor: string | undefined
  /** The time of the last change received. */
  let receivedUntil: string | undefined
  recent = []
  missed.value = []
  while (!ended.aborted) {
    await untilVisible(ended)
    const hidden = untilHidden(ended)
    const onConnection = (isConnected: boolean, problem?: ApiProblem) => {
      connection.value = { isConnected, sinceMs: Date.now(), why: problem?.message }
    }
    try {
      for await (const news of client.changes({ after: cursor, signal: hidden, onConnection })) {
        cursor = news.cursor
        const present = new Date(now.peek()).toISOString()
        if (news.reset && receivedUntil !== undefined)
          missed.value = [...missed.peek(), { from: receivedUntil, to: present }].slice(-MAX_MISSED)
        receivedUntil = news.changes.at(-1)?.at ?? present
        recent = [...recent, ...news.changes].slice(-MAX_RECENT)
        for (const listener of listeners) listener(news)
      }
    } catch (error) {
      if (!(error instanceof ApiProblem)) throw error
      // Only an invalid token is permanent: retry after any other error.
      if (error.status === 401) return
      onConnection(false, error)
      cursor = undefined
      await new Promise((resolve) => setTimeout(resolve, 5_000))
    }
  }
}

function untilVisible(ended: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const check = () => {
      if (document.hidden && !ended.aborted) return
      document.removeEventListener('visibilitychange', check)
      resolve()
    }
    document.addEventListener('visibilitychange', check)
    ended.addEventListener('abort', check, { once: true })
    check()
  })
}

function untilHidden(ended: AbortSignal): AbortSignal {
  const controller = new AbortController()
  const check = () => {
    if (!document.hidden && !ended.aborted) return
    document.removeEventListener('visibilitychange', check)
    ended.removeEventListener('abort', check)
    controller.abort()
  }
  document.addEventListener('visibilitychange', check)
  ended.addEventListener('abort', check)
  check()
  return controller.signal
}
