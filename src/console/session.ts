import { computed, signal } from '@preact/signals'
import { ApiProblem, type Change, type Changes, type Client, type Config, createClient } from '../client/index.ts'
import { now } from './clock.ts'

/* The user of the console and the API token. The tab stores the token until it is closed. The token is never part of a URL. */

export type Session = {
  /** A client with personal data masked in every answer. */
  readonly client: Client
  /** A client without masks, only for data that the user asks to see. */
  readonly unmaskedClient: Client
  readonly config: Config
}

export const session = signal<Session | undefined>(undefined)

/** Why the session ended; '' before the first login. */
export const whyLoggedOut = signal('')

/** Whether the user may change anything. Otherwise, the console hides the controls. */
export const mayOperate = computed(() => session.value?.config.role === 'operate' && session.value.config.replays)

/** Whether the user may see personal data. */
export const mayReveal = computed(() => session.value?.config.role !== 'masked')

const KEY = 'enigma-relay token'

/** The API is always one level above the console. */
const apiUrl = () => new URL('..', location.href.replace(/[?#].*/, '')).href

const fetchOrLogOut = async (to: string, init: RequestInit): Promise<Response> => {
  const response = await fetch(to, init)
  if (response.status === 401 && session.value !== undefined) logOut('The token is no longer valid.')
  return response
}

/** Starts a session. @throws ApiProblem if the token is invalid or the API is unavailable */
export async function logIn(token: string): Promise<void> {
  const options = { url: apiUrl(), token, fetch: fetchOrLogOut }
  const client = createClient({ ...options, masked: true })
  const config = await client.config()
  sessionStorage.setItem(KEY, token)
  session.value = { client, unmaskedClient: createClient(options), config }
  whyLoggedOut.value = ''
}

export function logOut(why = ''): void {
  sessionStorage.removeItem(KEY)
  session.value = undefined
  whyLoggedOut.value = why
}

/** Logs in with the token that the tab stores, or with the one-time code that `npm run dev` puts into the address. @throws ApiProblem */
export async function resume(): Promise<void> {
  const code = /^#code=([\w-]+)$/.exec(location.hash)?.[1]
  // The code is removed before the first request, so that it does not stay in the history.
  if (code !== undefined) history.replaceState(null, '', location.pathname)
  const token = code === undefined ? sessionStorage.getItem(KEY) : await exchange(code)
  if (token !== null) await logIn(token)
}

async function exchange(code: string): Promise<string> {
  const response = await fetch(`${apiUrl()}console/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ code }),
  })
  if (!response.ok)
    throw new ApiProblem(
      response.status,
      'unauthorized',
      'The login code in the address has been used or has expired. Log in with the token that `npm run dev` prints.',
    )
  return ((await response.json()) as { readonly token: string }).token
}

/* The change stream, which the session follows for all pages. A tab has one request open, and none while it is hidden. */

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
